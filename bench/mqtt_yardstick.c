/* The yardstick of the benches: what a C client of libmosquitto reaches on the same broker in the same run.
 *
 *   mqtt_yardstick publish N PREFIX SIZE WINDOW           QoS 1, retained, to the N topics PREFIX/0 ... PREFIX/N-1,
 *                                                         or, where PREFIX has a "{}", to PREFIX with the number there
 *   mqtt_yardstick receive N FILTER [SECONDS]             QoS 1; says "subscribed", then counts N messages
 *   mqtt_yardstick reports N TOPIC PAYLOAD WINDOW [RATE [COUNT [ORDER [QOS]]]]
 *                                                         live; "{}" in TOPIC and PAYLOAD is the endpoint, 0 to N-1
 *   mqtt_yardstick requests N TOPIC PAYLOAD RATE COUNT FILTER
 *                                                         the same, not before FILTER is subscribed; a message that
 *                                                         begins as TOPIC does up to its first "{}" is the answer to
 *                                                         the number there; at most N, each endpoint once
 *
 * RATE is per second, 0 (default) is as fast as the window lets; COUNT messages in all (default N); ORDER "scattered"
 * visits the endpoints in a fixed pseudo-random order, anything else in theirs; QOS is 0 or 1 (default). With QoS 0 a
 * message is done when it is written. The broker is named by MQTT_HOST (127.0.0.1), MQTT_PORT (1883),
 * MQTT_USER and MQTT_PASSWORD; MQTT_LEVEL is 5 (default) or 4, for MQTT 3.1.1.
 *
 * The last line of standard output is one JSON object: {"mode", "messages", "seconds", "per_second", "refused",
 * "processor_seconds"}, the last from the program's start; of requests also "answers", "p50_ms", "p99_ms", "max_ms".
 * Exit code 0: all messages were acknowledged or received; 1: they were not; 2: wrong usage.
 *
 * Build: cc -O2 -o mqtt_yardstick mqtt_yardstick.c -lmosquitto
 */
#define _GNU_SOURCE
#include <mosquitto.h>
#include <mqtt_protocol.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { IDLE_SECONDS = 30, LOOP_MILLISECONDS = 100, TEXT_BYTES = 70000, REFUSED_FROM = 0x80 };

struct run {
    const char *mode;
    const char *topic;
    const char *payload;
    const char *filter;
    char *blank;
    int size, window, qos;
    long endpoints, total, sent, done, refused;
    double rate, started, first, last, idle_limit;
    bool connected, failed, retain, scattered;
    double *asked_at, *spans;
    long answers;
};

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static const char *from_environment(const char *name, const char *otherwise) {
    const char *value = getenv(name);
    return value && *value ? value : otherwise;
}

/* Copies `pattern` with every "{}" replaced by `index`; returns the length, cut at `room`. */
static int fill(char *into, size_t room, const char *pattern, long index) {
    size_t used = 0;
    while (*pattern && used + 24 < room) {
        if (pattern[0] == '{' && pattern[1] == '}') {
            used += (size_t)snprintf(into + used, room - used, "%ld", index);
            pattern += 2;
        } else {
            into[used++] = *pattern++;
        }
    }
    into[used] = 0;
    return (int)used;
}

static long greatest_common_divisor(long a, long b) {
    while (b) {
        long rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

/* A stride coprime with the number of endpoints visits each of them once before it repeats. */
static long endpoint_of(const struct run *run, long position) {
    if (!run->scattered) return position % run->endpoints;
    long stride = (long)((double)run->endpoints * 0.6180339887) | 1;
    while (greatest_common_divisor(stride, run->endpoints) != 1) stride += 2;
    return (long)(((__int128)position * stride) % run->endpoints);
}

static void send_one(struct mosquitto *client, struct run *run) {
    static char topic[TEXT_BYTES], payload[TEXT_BYTES];
    long endpoint = endpoint_of(run, run->sent);
    int length = run->size;
    const char *body = run->blank;
    fill(topic, sizeof topic, run->topic, endpoint);
    if (run->payload) {
        length = fill(payload, sizeof payload, run->payload, endpoint);
        body = payload;
    }
    if (run->asked_at) run->asked_at[endpoint] = now();
    int code = mosquitto_publish(client, NULL, topic, length, body, run->qos, run->retain);
    if (code != MOSQ_ERR_SUCCESS) {
        fprintf(stderr, "publish: %s\n", mosquitto_strerror(code));
        run->failed = true;
    }
    run->sent++;
}

static void send_more(struct mosquitto *client, struct run *run) {
    while (!run->failed && run->sent < run->total && run->sent - run->done < run->window) {
        if (run->rate > 0 && (double)run->sent > (now() - run->started) * run->rate) return;
        send_one(client, run);
    }
}

static void on_connect(struct mosquitto *client, void *context, int code, int flags, const mosquitto_property *props) {
    struct run *run = context;
    (void)flags, (void)props;
    if (code) {
        fprintf(stderr, "connect: %s\n", mosquitto_reason_string(code));
        run->failed = true;
        return;
    }
    run->connected = !run->asked_at;
    run->started = run->first = run->last = now();
    /* Who asks wants the answers to come, and not what is retained from before. */
    int options = run->asked_at ? MQTT_SUB_OPT_SEND_RETAIN_NEVER : 0;
    if (run->filter) mosquitto_subscribe_v5(client, NULL, run->filter, 1, options, NULL);
}

static void on_subscribe(struct mosquitto *client, void *context, int id, int count, const int *granted) {
    struct run *run = context;
    (void)client, (void)id;
    if (count != 1 || granted[0] >= REFUSED_FROM) {
        fprintf(stderr, "subscribe: refused\n");
        run->failed = true;
    }
    run->connected = true;
    run->started = now();
    puts("subscribed");
    fflush(stdout);
}

/* Notes how long an answer took; other messages, and second answers, are passed over. */
static void note_answer(struct run *run, const struct mosquitto_message *message) {
    size_t length = (size_t)(strstr(run->topic, "{}") - run->topic);
    if (strncmp(message->topic, run->topic, length) || !message->payloadlen) return;
    long endpoint = strtol(message->topic + length, NULL, 10);
    if (endpoint < 0 || endpoint >= run->endpoints || run->asked_at[endpoint] <= 0) return;
    run->spans[run->answers++] = now() - run->asked_at[endpoint];
    run->asked_at[endpoint] = 0;
    run->last = now();
}

static int ascending(const void *a, const void *b) {
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

static double milliseconds(const struct run *run, double part) {
    return run->answers ? run->spans[(long)((double)(run->answers - 1) * part)] * 1000 : 0;
}

static void on_message(struct mosquitto *client, void *context, const struct mosquitto_message *message) {
    struct run *run = context;
    (void)client;
    if (run->asked_at) {
        note_answer(run, message);
        return;
    }
    if (!run->done) run->first = now();
    run->done++;
    run->last = now();
}

static void on_publish(struct mosquitto *client, void *context, int id, int reason, const mosquitto_property *props) {
    struct run *run = context;
    (void)client, (void)id, (void)props;
    if (reason >= REFUSED_FROM) run->refused++;
    run->done++;
    run->last = now();
    if (run->rate <= 0) send_more(client, run);
}

static int work(struct mosquitto *client, struct run *run) {
    double seen_at = now();
    long seen = 0;
    bool asks = run->asked_at != NULL;
    while (!run->failed && (run->done < run->total || (asks && run->answers < run->total))) {
        if (run->connected && (asks || !run->filter)) send_more(client, run);
        int wait = run->rate > 0 ? 1 : LOOP_MILLISECONDS;
        int code = mosquitto_loop(client, wait, 1);
        if (code) {
            fprintf(stderr, "loop: %s\n", mosquitto_strerror(code));
            return 1;
        }
        if (run->done + run->answers != seen) {
            seen = run->done + run->answers;
            seen_at = now();
        } else if (now() - seen_at > run->idle_limit) {
            fprintf(stderr, "idle for %.0f s after %ld of %ld\n", run->idle_limit, run->done, run->total);
            break;
        }
    }
    double seconds = run->last - run->first;
    printf("{\"mode\": \"%s\", \"messages\": %ld, \"seconds\": %.4f, \"per_second\": %.0f, \"refused\": %ld, "
           "\"processor_seconds\": %.4f",
           run->mode, run->done, seconds, seconds > 0 ? (double)run->done / seconds : 0.0, run->refused,
           (double)clock() / CLOCKS_PER_SEC);
    if (asks) {
        qsort(run->spans, (size_t)run->answers, sizeof *run->spans, ascending);
        printf(", \"answers\": %ld, \"p50_ms\": %.3f, \"p99_ms\": %.3f, \"max_ms\": %.3f", run->answers,
               milliseconds(run, 0.5), milliseconds(run, 0.99), milliseconds(run, 1));
    }
    puts("}");
    return run->failed || run->done < run->total || run->refused || (asks && run->answers < run->total);
}

static int usage(void) {
    fputs("usage: mqtt_yardstick publish N PREFIX SIZE WINDOW\n"
          "       mqtt_yardstick receive N FILTER [SECONDS]\n"
          "       mqtt_yardstick reports N TOPIC PAYLOAD WINDOW [RATE [COUNT [ORDER [QOS]]]]\n"
          "       mqtt_yardstick requests N TOPIC PAYLOAD RATE COUNT FILTER\n",
          stderr);
    return 2;
}

static bool read_arguments(int count, char **words, struct run *run) {
    static char pattern[TEXT_BYTES];
    run->qos = 1;
    if (count < 4 || (run->endpoints = run->total = atol(words[2])) < 1) return false;
    run->mode = words[1];
    run->idle_limit = IDLE_SECONDS;
    if (!strcmp(run->mode, "publish") && count == 6) {
        snprintf(pattern, sizeof pattern, strstr(words[3], "{}") ? "%s" : "%s/{}", words[3]);
        run->topic = pattern;
        run->size = atoi(words[4]);
        run->window = atoi(words[5]);
        run->retain = true;
    } else if (!strcmp(run->mode, "receive") && count <= 5) {
        run->filter = words[3];
        if (count > 4) run->idle_limit = atof(words[4]);
    } else if (!strcmp(run->mode, "reports") && count >= 6 && count <= 10) {
        run->topic = words[3];
        run->payload = words[4];
        run->window = atoi(words[5]);
        run->rate = count > 6 ? atof(words[6]) : 0;
        if (count > 7) run->total = atol(words[7]);
        run->scattered = count > 8 && !strcmp(words[8], "scattered");
        run->qos = count > 9 ? atoi(words[9]) : 1;
    } else if (!strcmp(run->mode, "requests") && count == 8 && strstr(words[3], "{}")) {
        run->topic = words[3];
        run->payload = words[4];
        run->window = run->endpoints < 65000 ? (int)run->endpoints : 65000;
        run->rate = atof(words[5]);
        run->total = atol(words[6]);
        run->scattered = true;
        run->filter = words[7];
        run->asked_at = calloc((size_t)run->endpoints, sizeof *run->asked_at);
        run->spans = calloc((size_t)run->endpoints, sizeof *run->spans);
        if (!run->asked_at || !run->spans || run->total > run->endpoints) return false;
    } else {
        return false;
    }
    if (!run->filter && (run->window < 1 || run->window > 65000 || run->size < 0 || run->qos < 0 || run->qos > 1))
        return false;
    run->blank = malloc((size_t)run->size + 1);
    if (!run->blank) return false;
    memset(run->blank, 'x', (size_t)run->size);
    return true;
}

int main(int count, char **words) {
    struct run run = {0};
    if (!read_arguments(count, words, &run)) return usage();
    mosquitto_lib_init();
    char id[64];
    snprintf(id, sizeof id, "yardstick-%s-%d", run.mode, (int)getpid());
    struct mosquitto *client = mosquitto_new(id, true, &run);
    int level = atoi(from_environment("MQTT_LEVEL", "5"));
    mosquitto_int_option(client, MOSQ_OPT_PROTOCOL_VERSION, level == 4 ? MQTT_PROTOCOL_V311 : MQTT_PROTOCOL_V5);
    mosquitto_int_option(client, MOSQ_OPT_TCP_NODELAY, 1);
    mosquitto_int_option(client, MOSQ_OPT_SEND_MAXIMUM, run.window > 0 ? run.window : 1000);
    mosquitto_int_option(client, MOSQ_OPT_RECEIVE_MAXIMUM, 65535);
    const char *user = from_environment("MQTT_USER", NULL);
    if (user) mosquitto_username_pw_set(client, user, from_environment("MQTT_PASSWORD", ""));
    mosquitto_connect_v5_callback_set(client, on_connect);
    mosquitto_subscribe_callback_set(client, on_subscribe);
    mosquitto_message_callback_set(client, on_message);
    mosquitto_publish_v5_callback_set(client, on_publish);
    int code = mosquitto_connect(client, from_environment("MQTT_HOST", "127.0.0.1"),
                                 atoi(from_environment("MQTT_PORT", "1883")), 60);
    if (code) {
        fprintf(stderr, "connect: %s\n", mosquitto_strerror(code));
        return 1;
    }
    code = work(client, &run);
    mosquitto_disconnect(client);
    mosquitto_destroy(client);
    mosquitto_lib_cleanup();
    free(run.blank);
    free(run.asked_at);
    free(run.spans);
    return code;
}
