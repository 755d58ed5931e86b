// An endpoint that speaks as Kaa's Node client does: it subscribes to `<topic>/+`, sends everything with QoS 0 and
// without request ID, and waits for its software on `config/json/status`.
//
//   node kaa_node.js APP_VERSION TOKEN RUNNING TARGET
//
// It reports what it runs and asks for software; what it is told to install it "installs": it reports that version, and
// asks again. It prints one JSON object a line for each message that it reads, and ends with 0 when it runs TARGET and
// is told that there is no more. MQTT_URL, MQTT_USER, MQTT_PASSWORD and MQTT_VERSION (4 or 5) say how to connect.
'use strict';

const mqtt = require('mqtt');

const [appVersion, token, firmware, target] = process.argv.slice(2);
const base = `kp1/${appVersion}/cmx_ota/${token}`;
const client = mqtt.connect(process.env.MQTT_URL, {
  username: process.env.MQTT_USER,
  password: process.env.MQTT_PASSWORD,
  protocolVersion: Number(process.env.MQTT_VERSION),
  reconnectPeriod: 0,
});
let running = firmware;

function report() {
  client.publish(`${base}/applied/json`, JSON.stringify({ configId: running }));
}

function ask() {
  client.publish(`${base}/config/json`, JSON.stringify({}));
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

client.on('connect', () => {
  client.subscribe(`${base}/applied/json/+`);
  client.subscribe(`${base}/config/json/+`, (error) => {
    if (error) throw error;
    report();
    ask();
  });
});

client.on('message', (topic, payload, packet) => {
  const text = payload.toString();
  const body = parsed(text);
  console.log(JSON.stringify({ resource: topic.slice(base.length + 1), payload: text, retain: packet.retain }));
  if (topic.endsWith('/error')) {
    client.end(() => process.exit(1));
  } else if (body && body.config && body.configId !== running) {
    running = body.configId;
    report();
    ask();
  } else if (body && !body.config && running === target) {
    client.end(() => process.exit(0));
  }
});

client.on('error', (error) => {
  console.error(error.message);
  process.exit(2);
});
