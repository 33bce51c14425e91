/* A client in C, complete but small: what ../README.md asks of one, step by step. cc client.c -lzmq */
#define _GNU_SOURCE
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

enum { FRAME_EVENTS = 500, SOCKET_FRAMES = 16, FRAME_BYTES = 256 << 10, ANSWER_MS = 500 };

static char *telemetry, *product, *catalog, *endpoint;
static char place[4096], consent[4096];  /* what the commands said, JSON */
static struct stat decided_at;           /* the file that a withdrawal changes */
static unsigned char producer[16];       /* of this process, new in the next; it never leaves the machine */
static uint64_t first;                   /* number of the next event */
static void *context, *push;

/* msgpack, as much as a frame needs */
static unsigned char buffer[FRAME_BYTES], *at;
static void byte(unsigned value) { *at++ = value; }
static void big(uint64_t value, int bytes) { while (bytes--) byte(value >> (8 * bytes) & 0xff); }
static void array(unsigned length) { byte(0xdc), big(length, 2); }
static void map(unsigned length) { byte(0x80 | length); }
static void integer(uint64_t value) { byte(0xcf), big(value, 8); }
static void real(double value) { uint64_t bits; memcpy(&bits, &value, 8), byte(0xcb), big(bits, 8); }
static void text(const char *value) { byte(0xd9), byte(strlen(value)), at = mempcpy(at, value, strlen(value)); }
static void bytes16(const void *value) { byte(0xc4), byte(16), at = mempcpy(at, value, 16); }

/* Runs a command; its answer is one flat JSON object on one line. */
static void ask(char *answer, size_t size, const char *command, const char *rest) {
    char line[8192];
    snprintf(line, sizeof line, "%s %s --product %s --catalog '%s' %s --json", telemetry, command, product, catalog, rest);
    FILE *out = popen(line, "r");
    if (!out || !fgets(answer, size, out) || pclose(out)) fprintf(stderr, "%s failed\n", command), exit(1);
}

static const char *member(const char *json, const char *name) {
    static char values[8][1024];
    static unsigned turn;
    char *value = values[turn++ % 8], key[64];
    snprintf(key, sizeof key, "\"%s\": ", name);
    const char *start = strstr(json, key);
    if (!start) fprintf(stderr, "no %s in %s\n", name, json), exit(1);
    start += strlen(key);
    snprintf(value, 1024, "%.*s", (int)strcspn(start + (*start == '"'), "\",}"), start + (*start == '"'));
    return value;
}

static int is_off(void) { return !strcmp(member(consent, "state"), "off"); }

static void decide(void) { /* a withdrawal acts within a second: call this as often */
    struct stat now = {0};
    if (*consent && (stat(member(consent, "watch"), &now), now.st_ino == decided_at.st_ino) &&
        !memcmp(&now.st_mtim, &decided_at.st_mtim, sizeof now.st_mtim)) return;
    ask(consent, sizeof consent, "consent", "--host on");
    decided_at = (struct stat){0}, stat(member(consent, "watch"), &decided_at);
}

static void head(unsigned events) {
    at = buffer, byte(0x96), integer(1), bytes16(producer), map(6);
    text("pid"), integer(getpid()), text("catalog"), text(member(place, "catalog"));
    text("consent"), text(member(consent, "state")), text("basis"), text(member(consent, "basis"));
    text("notice"), integer(atoi(member(consent, "notice"))), text("deployment"), text(member(consent, "deployment"));
    integer(first), map(0), array(events); /* nothing is dropped here: this client waits instead */
}

static int send_frame(unsigned events) { /* the events stand in the buffer, behind the head */
    while (zmq_send(push, buffer, at - buffer, ZMQ_DONTWAIT) < 0) {
        if (errno != EAGAIN) return 0;
        usleep(1000), decide();
        if (is_off()) return 0;
    }
    first += events;
    return 1;
}

static void emit(unsigned number, unsigned events) {
    head(events);
    for (unsigned event = 0; event < events; event++, number++) {
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        array(3), text("query_finished"), integer(now.tv_sec * 1000000000ull + now.tv_nsec), map(3);
        text("engine"), text(number % 2 ? "batch" : "stream"), text("rows"), integer(number);
        text("duration_ms"), real(number / 2.0);
    }
    send_frame(events);
}

static long answered(const char *op) { /* events that the shipper has accepted; -1: none answers */
    unsigned char reply[256], *end;
    int answer_ms = ANSWER_MS, none = 0, size;
    void *dealer = zmq_socket(context, ZMQ_DEALER);
    zmq_setsockopt(dealer, ZMQ_LINGER, &none, sizeof none), zmq_setsockopt(dealer, ZMQ_RCVTIMEO, &answer_ms, sizeof answer_ms);
    zmq_connect(dealer, member(place, "control"));
    at = buffer, map(2), text("op"), text(op), text("producer"), bytes16(producer);
    zmq_send(dealer, buffer, at - buffer, ZMQ_DONTWAIT);
    size = zmq_recv(dealer, reply, sizeof reply, 0), zmq_close(dealer);
    if (size <= 0 || !(end = memmem(reply, size, "\xa8" "accepted", 9))) return -1;
    unsigned char kind = *(end += 9);
    int length = kind == 0xcc ? 1 : kind == 0xcd ? 2 : kind == 0xce ? 4 : kind == 0xcf ? 8 : 0;
    long value = length ? 0 : kind;
    while (length--) value = value << 8 | *++end;
    return value;
}

static int flush(int seconds) {
    for (time_t deadline = time(NULL) + seconds; time(NULL) < deadline; usleep(20000)) {
        decide();
        if (is_off()) return 1;
        if (answered("confirm") >= (long)first) return 1;
        head(0), send_frame(0); /* how far we have come: what a dead shipper lost is noticed by the next frame only */
    }
    return 0;
}

int main(int count, char **words) {
    char rest[4096], line[64];
    int none = 0, hwm = SOCKET_FRAMES, ivl = 10;
    if (count != 5 || getrandom(producer, 16, 0) != 16) return 2;
    telemetry = words[1], product = words[2], catalog = words[3], endpoint = words[4];
    decide(), printf("%s\n", member(consent, "state")), fflush(stdout);
    if (is_off()) return 0; /* no socket, and nothing else */
    snprintf(rest, sizeof rest, "--endpoint '%s'", endpoint);
    ask(place, sizeof place, "place", rest);
    context = zmq_ctx_new(), push = zmq_socket(context, ZMQ_PUSH);
    zmq_setsockopt(push, ZMQ_LINGER, &none, sizeof none), zmq_setsockopt(push, ZMQ_SNDHWM, &hwm, sizeof hwm);
    zmq_setsockopt(push, ZMQ_RECONNECT_IVL, &ivl, sizeof ivl), zmq_connect(push, member(place, "data"));
    while (fgets(line, sizeof line, stdin)) {
        for (unsigned sent = 0, all = atoi(line), some; sent < all && (decide(), !is_off()); sent += some)
            some = all - sent < FRAME_EVENTS ? all - sent : FRAME_EVENTS, emit(sent, some);
        int confirmed = flush(60);
        printf("%s %s {}\n", member(consent, "state"), confirmed ? "true" : "false"), fflush(stdout);
    }
    int confirmed = flush(60);
    if (!is_off()) answered("leave");
    printf("%s %s {}\n", member(consent, "state"), confirmed ? "true" : "false");
    zmq_close(push), zmq_ctx_term(context);
    return 0;
}
