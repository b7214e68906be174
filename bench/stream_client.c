#define _GNU_SOURCE
/* A load generator for streams that costs less than what it measures: one thread, epoll.
 *
 * Usage: stream_client PORT PATH CONNECTIONS SECONDS KEY BODY_FILE HEADERS
 * HEADERS are whole header lines, each with its CRLF, or nothing.
 * Every connection asks for a stream, reads it to its end, and asks again until the time is up; then streams under way
 * are finished. Prints one JSON line: streams, events, errors, reads, and the time to the first event in microseconds. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BUFFER = 65536, MAX_SAMPLES = 1 << 20 };

struct connection {
    int fd, busy, has_event, matched;
    uint64_t asked_us;
    char head[16];
    int head_size;
};

static const char END[] = "0\r\n\r\n"; /* the last chunk; no event ends so */
static char request[131072];
static int request_size;
static uint32_t *first_us;
static long samples, streams, events, errors, reads;

static uint64_t now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void die(const char *what) {
    perror(what);
    exit(1);
}

static void ask(struct connection *c) {
    c->busy = 1;
    c->has_event = c->matched = c->head_size = 0;
    c->asked_us = now_us();
    if (write(c->fd, request, request_size) != request_size) die("write");
}

/* Takes what arrived; true when the stream's last chunk is complete. */
static int take(struct connection *c, const char *data, ssize_t size) {
    if (c->head_size < 12) {
        int more = 12 - c->head_size < size ? 12 - c->head_size : (int)size;
        memcpy(c->head + c->head_size, data, more);
        c->head_size += more;
        if (c->head_size == 12 && memcmp(c->head + 8, " 200", 4)) errors++;
    }
    for (const char *at = data, *end = data + size; (at = memmem(at, end - at, "data: ", 6)); at += 6) {
        if (!c->has_event && samples < MAX_SAMPLES) first_us[samples++] = (uint32_t)(now_us() - c->asked_us);
        c->has_event = 1;
        events++;
    }
    /* A match may straddle two reads, so it is counted byte by byte over the last few bytes only. */
    ssize_t from = size > 8 && c->matched == 0 ? size - 8 : 0;
    int done = 0;
    for (ssize_t i = from; i < size; i++) {
        c->matched = data[i] == END[c->matched] ? c->matched + 1 : data[i] == END[0];
        if (c->matched == 5) {
            done = 1;
            c->matched = 0;
        }
    }
    return done;
}

static int compare(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv) {
    if (argc != 8) {
        fprintf(stderr, "usage: stream_client PORT PATH CONNECTIONS SECONDS KEY BODY_FILE HEADERS\n");
        return 2;
    }
    int count = atoi(argv[3]), one = 1, poller = epoll_create1(0);
    static char body[65536], buffer[BUFFER];
    FILE *file = fopen(argv[6], "rb");
    if (!file) die(argv[6]);
    size_t body_size = fread(body, 1, sizeof body, file);
    fclose(file);
    request_size = snprintf(request, sizeof request,
                            "POST %s HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
                            "authorization: Bearer %s\r\n%scontent-length: %zu\r\n\r\n%.*s",
                            argv[2], argv[5], argv[7], body_size, (int)body_size, body);
    first_us = malloc(MAX_SAMPLES * sizeof *first_us);
    struct connection *all = calloc(count, sizeof *all);
    if (!first_us || !all) die("malloc");
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[1]))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (int i = 0; i < count; i++) {
        all[i].fd = socket(AF_INET, SOCK_STREAM, 0);
        if (connect(all[i].fd, (void *)&address, sizeof address)) die("connect");
        setsockopt(all[i].fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        struct epoll_event wanted = {.events = EPOLLIN, .data.ptr = &all[i]};
        epoll_ctl(poller, EPOLL_CTL_ADD, all[i].fd, &wanted);
    }
    uint64_t end_us = now_us() + (uint64_t)(atof(argv[4]) * 1e6), last_us = end_us + 10000000;
    for (int i = 0; i < count; i++) ask(&all[i]);
    int open = count;
    struct epoll_event got[256];
    while (open > 0 && now_us() < last_us) {
        int ready = epoll_wait(poller, got, 256, 100);
        for (int i = 0; i < ready; i++) {
            struct connection *c = got[i].data.ptr;
            ssize_t size = read(c->fd, buffer, sizeof buffer);
            reads++;
            if (size <= 0) {
                errors++;
                open--;
                close(c->fd);
                continue;
            }
            if (!take(c, buffer, size)) continue;
            streams++;
            if (now_us() < end_us) {
                ask(c);
            } else {
                open--;
            }
        }
    }
    qsort(first_us, samples, sizeof *first_us, compare);
    printf("{\"streams\":%ld,\"events\":%ld,\"errors\":%ld,\"reads\":%ld,\"first_p50_us\":%u,\"first_p99_us\":%u}\n", streams,
           events, errors + open, reads, samples ? first_us[samples / 2] : 0, samples ? first_us[samples * 99 / 100] : 0);
    return 0;
}
