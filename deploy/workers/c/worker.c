/* A port worker in C: docs/reference/port-wire.md, and the operations of
 * keygrove_actors/port_conform.py. One thread, one buffer, no library but libc.
 *
 * A frame is taken from the buffer when it is complete; its elements are read from
 * left to right by the functions that begin with take_, and any that does not fit
 * ends the process: the host would do the same.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { HELLO, WELCOME, CALL, REPLY, ERROR, CAST, CANCEL, CREDIT, PING, PONG, LOG, DRAIN, BYE, EVENT };
enum { PORT = 3, FRAME_MAX = 1 << 20, WINDOW = 64, OPTIONAL = 64, CANCELLED_MAX = 256 };

typedef struct { const uint8_t *at, *end; } Body;
typedef struct { const char *data; uint32_t size; } Bytes;

static uint8_t in[FRAME_MAX + 4 + 65536], out[FRAME_MAX + 65536];
static size_t in_start, in_end, out_size;
static uint32_t consumed, events, next_call = 1;
static uint32_t cancelled[CANCELLED_MAX];
static size_t cancelled_at;
static int draining;

static void fail(const char *what) { fprintf(stderr, "%s\n", what); exit(1); }

/* ---- writing */

static void flush(void) {
    size_t sent = 0;
    while (sent < out_size) {
        ssize_t n = send(PORT, out + sent, out_size - sent, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) exit(0); /* the host is gone */
        sent += (size_t)n;
    }
    out_size = 0;
}

static size_t frame_at;

static void put(const void *data, size_t size) {
    if (out_size + size > sizeof out) fail("a frame is too long to be sent");
    memcpy(out + out_size, data, size);
    out_size += size;
}

static void put_head(uint8_t head, uint32_t value, int size) {
    uint8_t b[5] = {head};
    for (int i = 0; i < size; i++) b[1 + i] = (uint8_t)(value >> (8 * (size - 1 - i)));
    put(b, 1 + (size_t)size);
}

static void put_uint(uint32_t v) {
    if (v < 0x80) put_head((uint8_t)v, 0, 0);
    else if (v < 0x100) put_head(0xcc, v, 1);
    else if (v < 0x10000) put_head(0xcd, v, 2);
    else put_head(0xce, v, 4);
}

static void put_bin(Bytes b) {
    if (b.size < 0x100) put_head(0xc4, b.size, 1);
    else if (b.size < 0x10000) put_head(0xc5, b.size, 2);
    else put_head(0xc6, b.size, 4);
    put(b.data, b.size);
}

static void put_str(const char *s) {
    uint32_t size = (uint32_t)strlen(s);
    if (size < 32) put_head((uint8_t)(0xa0 | size), 0, 0);
    else put_head(0xd9, size, 1);
    put(s, size);
}

static void begin(uint32_t type, uint32_t elements) {
    if (out_size > sizeof out / 2) flush();
    frame_at = out_size;
    put_head(0, 0, 3); /* the length, filled in by finish() */
    put_head((uint8_t)(0x90 | elements), 0, 0);
    put_uint(type);
}

static void finish(void) {
    uint32_t size = (uint32_t)(out_size - frame_at - 4);
    for (int i = 0; i < 4; i++) out[frame_at + (size_t)i] = (uint8_t)(size >> (24 - 8 * i));
}

static void reply(uint32_t id, Bytes payload) {
    begin(REPLY, 3); put_uint(id); put_bin(payload); finish();
}

static void error(uint32_t id, const char *code, const char *text, int retryable) {
    begin(ERROR, 5);
    put_uint(id); put_str(code); put_str(text); put_head(retryable ? 0xc3 : 0xc2, 0, 0);
    finish();
}

static void bye(const char *text) {
    begin(BYE, 3); put_uint(0); put_str(text); finish();
    flush();
    exit(0);
}

/* ---- reading */

static uint32_t take_raw(Body *b, int size) {
    uint32_t v = 0;
    if (b->end - b->at < size) fail("a frame is cut short");
    while (size--) v = v << 8 | *b->at++;
    return v;
}

static uint32_t take_uint(Body *b) {
    uint32_t head = take_raw(b, 1);
    if (head < 0x80) return head;
    if (head == 0xcf && take_raw(b, 4)) fail("a number is too big");
    if (head == 0xcf) head = 0xce;
    if (head < 0xcc || head > 0xce) fail("a number was expected");
    return take_raw(b, 1 << (head - 0xcc));
}

static Bytes take_bytes(Body *b) { /* str and bin alike */
    uint32_t head = take_raw(b, 1), size;
    if ((head & 0xe0) == 0xa0) size = head & 0x1f;
    else if (head == 0xd9 || head == 0xc4) size = take_raw(b, 1);
    else if (head == 0xda || head == 0xc5) size = take_raw(b, 2);
    else if (head == 0xdb || head == 0xc6) size = take_raw(b, 4);
    else fail("text or bytes were expected"), size = 0;
    if ((size_t)(b->end - b->at) < size) fail("a frame is cut short");
    Bytes taken = {(const char *)b->at, size};
    b->at += size;
    return taken;
}

static uint32_t take_array(Body *b) {
    uint32_t head = take_raw(b, 1);
    if ((head & 0xf0) == 0x90) return head & 0x0f;
    if (head == 0xdc) return take_raw(b, 2);
    if (head == 0xdd) return take_raw(b, 4);
    fail("an array was expected");
    return 0;
}

static uint32_t number(Bytes b) {
    char text[16] = {0};
    memcpy(text, b.data, b.size < 15 ? b.size : 15);
    return (uint32_t)strtoul(text, NULL, 10);
}

static int is(Bytes b, const char *word) {
    return b.size == strlen(word) && !memcmp(b.data, word, b.size);
}

/* Fill the buffer; with wait 0, only with what is there. Exits when the host is gone. */
static void fill(int wait) {
    if (in_start) {
        memmove(in, in + in_start, in_end - in_start);
        in_end -= in_start;
        in_start = 0;
    }
    if (in_end == sizeof in) return; /* full of frames that wait for their turn */
    ssize_t n = recv(PORT, in + in_end, sizeof in - in_end, wait ? 0 : MSG_DONTWAIT);
    if (n < 0 && (errno == EINTR || errno == EAGAIN)) return;
    if (n <= 0) exit(0);
    in_end += (size_t)n;
}

/* The frame at `from`, if it is complete: its body in `b`, the place of the next returned. */
static size_t frame(size_t from, Body *b) {
    if (in_end - from < 4) return 0;
    Body head = {in + from, in + from + 4};
    uint32_t size = take_raw(&head, 4);
    if (size < 1 || size > FRAME_MAX) fail("a frame has a bad length");
    if (in_end - from - 4 < size) return 0;
    *b = (Body){in + from + 4, in + from + 4 + size};
    return from + 4 + size;
}

static int is_cancelled(uint32_t id) {
    for (size_t i = 0; i < CANCELLED_MAX; i++) if (cancelled[i] == id) return 1;
    return 0;
}

static int control(uint32_t type, Body *b) { /* whether the frame was one of these */
    if (type == CANCEL) cancelled[cancelled_at++ % CANCELLED_MAX] = take_uint(b);
    else if (type == CREDIT) events += take_uint(b);
    else if (type == DRAIN) draining = 1;
    else if (type == PING) { begin(PONG, 2); put_uint(take_uint(b)); finish(); }
    else return 0;
    return 1;
}

/* Deal with control frames that wait behind the work at hand. Each is then made one of an
 * optional type, so that it is not dealt with again when its turn comes. */
static void look_ahead(void) {
    fill(0);
    Body b;
    for (size_t at = in_start, next; (next = frame(at, &b)); at = next) {
        take_array(&b);
        uint8_t *type = (uint8_t *)b.at;
        if (*type < 0x80 && *type != CALL && *type != CAST && control(take_uint(&b), &b)) *type = OPTIONAL;
    }
    flush();
}

static void nap(void) { nanosleep(&(struct timespec){0, 5000000}, NULL); }

/* ---- the operations */

static void op_sleep(uint32_t id, Bytes payload) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    int64_t until = t.tv_sec * 1000LL + t.tv_nsec / 1000000 + number(payload);
    do {
        nap();
        look_ahead();
        clock_gettime(CLOCK_MONOTONIC, &t);
    } while (t.tv_sec * 1000LL + t.tv_nsec / 1000000 < until && !is_cancelled(id));
    reply(id, payload);
}

static void op_ask(uint32_t id, Bytes payload) {
    uint32_t call = next_call++;
    begin(CALL, 5);
    put_uint(call); put_str("lookup"); put_bin(payload); put_uint(5000);
    finish();
    flush();
    for (;;) {
        struct pollfd p = {PORT, POLLIN, 0};
        poll(&p, 1, -1);
        look_ahead();
        Body b;
        for (size_t at = in_start, next; (next = frame(at, &b)); at = next) {
            take_array(&b);
            uint8_t *type = (uint8_t *)b.at;
            uint32_t kind = take_uint(&b);
            if ((kind != REPLY && kind != ERROR) || take_uint(&b) != call) continue;
            *type = OPTIONAL;
            if (kind == ERROR) error(id, "internal", "the host refused", 0);
            else reply(id, take_bytes(&b));
            return;
        }
    }
}

static void op_files(uint32_t id) {
    char text[256] = "";
    size_t size = 0;
    DIR *dir = opendir("/proc/self/fd");
    for (int fd = 0; fd < 64; fd++) {
        char path[32];
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        if (fd != dirfd(dir) && !access(path, F_OK) && size < 200)
            size += (size_t)sprintf(text + size, size ? " %d" : "%d", fd);
    }
    closedir(dir);
    reply(id, (Bytes){text, (uint32_t)size});
}

static void op_spawn(uint32_t id) {
    pid_t pid = fork();
    if (!pid) { execlp("sleep", "sleep", "1000", NULL); _exit(127); }
    char text[16];
    int size = sprintf(text, "%d", pid);
    reply(id, (Bytes){text, (uint32_t)size});
}

static void op_print(uint32_t id, Bytes payload) {
    for (uint32_t i = 0; i < number(payload); i++) {
        printf("%u\n", i);
        fprintf(stderr, "%u\n", i);
    }
    fflush(stdout);
    reply(id, payload);
}

static void op_count(uint32_t id, Body payload) {
    if (take_array(&payload) < 1) fail("count without a number");
    uint32_t n = take_uint(&payload);
    char text[5];
    for (uint32_t i = 0; i <= n && !is_cancelled(id); i++) {
        while (i < n && !events && !is_cancelled(id)) {
            flush();
            struct pollfd p = {PORT, POLLIN, 0};
            poll(&p, 1, -1);
            look_ahead();
        }
        if (is_cancelled(id)) break;
        /* a payload of its own: a MessagePack integer inside the frame's bin */
        size_t before = out_size;
        put_uint(i);
        uint32_t size = (uint32_t)(out_size - before);
        memcpy(text, out + before, size);
        out_size = before;
        if (i == n) { reply(id, (Bytes){text, size}); return; }
        events--;
        begin(EVENT, 4); put_str("count"); put_bin((Bytes){text, size}); put_uint(id); finish();
    }
    error(id, "cancelled", "", 0);
}

static void write_raw(const void *data, size_t size) {
    if (send(PORT, data, size, 0) < 0) exit(0);
    sleep(60);
}

static void op_die(uint32_t id, Bytes how) {
    flush(); /* answers given before a crash are answers */
    if (how.size > 5 && !memcmp(how.data, "exit ", 5)) {
        fprintf(stderr, "last words\n");
        exit((int)number((Bytes){how.data + 5, how.size - 5}));
    }
    if (is(how, "leave")) exit(0);
    if (is(how, "bye")) { draining = 1; reply(id, (Bytes){"", 0}); return; }
    if (is(how, "segv")) { signal(SIGSEGV, SIG_DFL); raise(SIGSEGV); }
    if (is(how, "hang")) sleep(60);
    if (is(how, "close")) { close(PORT); sleep(60); }
    if (is(how, "garbage")) write_raw("\0\0\0\2\x91\xa0", 6);
    if (is(how, "big")) write_raw("\xff\xff\xff\xff", 4);
    if (is(how, "unknown")) write_raw("\0\0\0\5\x93\x03\x7b\xc4\0", 9);
}

static void call(Body *b) {
    uint32_t id = take_uint(b);
    Bytes op = take_bytes(b), payload = take_bytes(b);
    Body inner = {(const uint8_t *)payload.data, (const uint8_t *)payload.data + payload.size};
    if (is_cancelled(id)) error(id, "cancelled", "", 0);
    else if (is(op, "echo")) reply(id, payload);
    else if (is(op, "sleep")) op_sleep(id, payload);
    else if (is(op, "fail")) error(id, "not_found", "no such thing", 1);
    else if (is(op, "print")) op_print(id, payload);
    else if (is(op, "ask")) op_ask(id, payload);
    else if (is(op, "files")) op_files(id);
    else if (is(op, "spawn")) op_spawn(id);
    else if (is(op, "count")) op_count(id, inner);
    else if (is(op, "die")) op_die(id, payload);
    else error(id, "unknown_op", "", 0);
}

static void cast(Body *b) {
    if (!is(take_bytes(b), "reload")) return;
    begin(LOG, 4);
    put_uint(1); put_str("reloaded"); put_head(0x81, 0, 0); put_str("n"); put_uint(1);
    finish();
}

static void hello(void) {
    static const char *const ops[] = {"echo", "sleep", "fail", "print", "ask", "files", "spawn", "count", "die", "reload"};
    uint32_t count = sizeof ops / sizeof *ops;
    begin(HELLO, 8);
    put_uint(1); put_uint(1); put_str("kg-port"); put_uint((uint32_t)getpid());
    put_head((uint8_t)(0x90 | count), 0, 0);
    for (uint32_t i = 0; i < count; i++) put_str(ops[i]);
    put_uint(FRAME_MAX); put_uint(WINDOW);
    finish();
}

int main(void) {
    hello();
    for (;;) {
        Body b;
        size_t next = frame(in_start, &b);
        if (!next) {
            if (draining) bye("drained");
            flush();
            fill(1);
            continue;
        }
        /* an operation may move the buffer (look_ahead): a frame of work is taken out first */
        static uint8_t own[FRAME_MAX];
        size_t size = (size_t)(b.end - b.at);
        memcpy(own, b.at, size);
        b = (Body){own, own + size};
        in_start = next;
        if (take_array(&b) < 1) fail("an empty frame");
        uint32_t type = take_uint(&b);
        if (control(type, &b) || type >= OPTIONAL || type == PONG) continue;
        if (type == WELCOME) { take_uint(&b); take_uint(&b); events = take_uint(&b); }
        else if (type == CALL || type == CAST) {
            type == CALL ? call(&b) : cast(&b);
            if (++consumed >= WINDOW / 2) {
                begin(CREDIT, 2); put_uint(consumed); finish();
                consumed = 0;
            }
        } else if (type != REPLY && type != ERROR) fail("a frame that no host sends");
    }
}
