{{- define "otao.pod" -}}
serviceAccountName: {{ include "otao.fullname" . }}
automountServiceAccountToken: false
# Otherwise each Service of the namespace becomes variables, OTAO_… among them.
enableServiceLinks: false
terminationGracePeriodSeconds: 30
{{- with .Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
containers:
  - name: otao
    image: {{ include "otao.image" . | quote }}
    imagePullPolicy: {{ .Values.image.pullPolicy }}
    args: [serve]
    env:
      - {name: OTAO_MQTT_URL_FILE, value: /run/secrets/otao/mqtt-url}
      - {name: OTAO_API_KEYS_FILE, value: /run/secrets/otao/otao.keys}
      {{- if eq .Values.database "postgresql" }}
      - {name: OTAO_DATABASE_URL_FILE, value: /run/secrets/otao/database-url}
      - {name: OTAO_HTTP_ADVERTISE, valueFrom: {fieldRef: {fieldPath: status.podIP}}}
      {{- else }}
      - {name: OTAO_DATABASE_URL, value: "sqlite+aiosqlite:////var/lib/otao/otao.db"}
      {{- end }}
      - {name: OTAO_HTTP_LISTEN, value: "0.0.0.0:8080"}
      - {name: OTAO_HTTP_HOSTS, value: {{ include "otao.hosts" . | quote }}}
      {{- if .Values.secret.mqttCa }}
      - {name: OTAO_MQTT_CA_FILE, value: /run/secrets/otao/mqtt-ca.pem}
      {{- end }}
      {{- range $name, $value := omit .Values.settings "OTAO_HTTP_HOSTS" }}
      - {name: {{ $name }}, value: {{ $value | quote }}}
      {{- end }}
    ports:
      - {name: http, containerPort: 8080}
    # A long migration is no reason to begin it again; a broker that is away none to start anew.
    startupProbe:
      httpGet: {path: /livez, port: http}
      periodSeconds: 2
      timeoutSeconds: 4
      failureThreshold: 300
    livenessProbe:
      httpGet: {path: /livez, port: http}
      periodSeconds: 15
      timeoutSeconds: 5
      failureThreshold: 4
    readinessProbe:
      httpGet: {path: /readyz, port: http}
      periodSeconds: 5
      timeoutSeconds: 4
    resources: {{- toYaml .Values.resources | nindent 6 }}
    securityContext:
      allowPrivilegeEscalation: false
      readOnlyRootFilesystem: true
      capabilities: {drop: [ALL]}
    volumeMounts:
      - {name: data, mountPath: /var/lib/otao}
      - {name: secret, mountPath: /run/secrets/otao, readOnly: true}
      - {name: tmp, mountPath: /tmp}
volumes:
  - name: secret
    secret:
      secretName: {{ required "secret.name: name a Secret with the broker's address and the API keys" .Values.secret.name }}
      # The group reads; nobody writes, or Otao would refuse the keys.
      defaultMode: 0440
      items:
        - {key: {{ .Values.secret.mqttUrl | quote }}, path: mqtt-url}
        - {key: {{ .Values.secret.apiKeys | quote }}, path: otao.keys}
        {{- if eq .Values.database "postgresql" }}
        - {key: {{ .Values.secret.databaseUrl | quote }}, path: database-url}
        {{- end }}
        {{- with .Values.secret.mqttCa }}
        - {key: {{ . | quote }}, path: mqtt-ca.pem}
        {{- end }}
  - name: tmp
    emptyDir: {sizeLimit: 64Mi}
  {{- if eq .Values.database "postgresql" }}
  # Nothing of it is kept; SQLite has a claim of this name.
  - name: data
    emptyDir: {sizeLimit: 64Mi}
  {{- end }}
{{- with .Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
