#define _GNU_SOURCE
/* A constant, fast upstream: one thread, epoll, HTTP/1.1 keep-alive. Usage: mock_upstream PORT [FIRST_MS GAP_MS EVENTS]
 *
 * A request whose body holds "stream":true (with or without a blank after the colon) is answered with 50 server-sent
 * events of about 300 bytes, one write each, 5 ms apart, usage in the last, then [DONE]. Any other request gets the same
 * 654-byte JSON. The answers never change, so what a run measures is the gateway in front. Prints "ready PORT".
 *
 * With FIRST_MS the first event, or the JSON, comes so much later; GAP_MS and EVENTS replace the 5 ms and the 50. As with
 * models, no two answers are alike then: the first event comes after half to one and a half times FIRST_MS, and a stream
 * has a quarter to one and three quarters of EVENTS, the same ones in every run. */
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

enum { IN_SIZE = 65536, MAX_FD = 65536, BODY_SIZE = 654 };

struct connection {
    int fd, used, events, next_event; /* next_event < 0: no stream is under way */
    int is_whole;             /* what is due is the JSON */
    uint64_t due_us;
    struct connection *next;
    char in[IN_SIZE];
};

enum { CONTENT, USAGE, DONE, KINDS };

static char whole[2048], stream_head[256], events[KINDS][1024];
static int whole_size, stream_head_size, event_sizes[KINDS];
static uint64_t chance = 88172645463325252u;
static int first_us = 0, gap_us = 5000, event_count = 50;
static struct connection *by_fd[MAX_FD], *streams;

static uint64_t now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void die(const char *what) {
    perror(what);
    exit(1);
}

/* Puts one chunk of a chunked body into place `at`. */
static void make_event(int at, const char *data) {
    char body[900];
    int size = snprintf(body, sizeof body, "data: %s\n\n", data);
    event_sizes[at] = snprintf(events[at], sizeof events[at], "%x\r\n%s\r\n", size, body);
}

static void make_answers(void) {
    const char *open = "{\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion\",\"created\":1764000000,"
                       "\"model\":\"gpt-4o-2026-08-01\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\","
                       "\"content\":\"";
    const char *close = "\",\"refusal\":null},\"logprobs\":null,\"finish_reason\":\"stop\"}],\"usage\":{"
                        "\"prompt_tokens\":200,\"completion_tokens\":50,\"total_tokens\":250,"
                        "\"prompt_tokens_details\":{\"cached_tokens\":0},\"completion_tokens_details\":{"
                        "\"reasoning_tokens\":0}},\"system_fingerprint\":\"fp_bench\"}";
    char filler[512];
    int fill = BODY_SIZE - (int)strlen(open) - (int)strlen(close);
    memset(filler, 'w', sizeof filler);
    whole_size = snprintf(whole, sizeof whole,
                          "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nx-request-id: req_bench\r\n"
                          "content-length: %d\r\n\r\n%s%.*s%s",
                          BODY_SIZE, open, fill, filler, close);
    stream_head_size = snprintf(stream_head, sizeof stream_head,
                                "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
                                "x-request-id: req_bench\r\ntransfer-encoding: chunked\r\n\r\n");
    for (int i = CONTENT; i <= USAGE; i++) {
        char data[800];
        snprintf(data, sizeof data,
                 "{\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\",\"created\":1764000000,"
                 "\"model\":\"gpt-4o-2026-08-01\",\"service_tier\":\"default\",\"system_fingerprint\":\"fp_bench\","
                 "\"choices\":[%s],\"usage\":%s}",
                 i == USAGE ? ""
                                 : "{\"index\":0,\"delta\":{\"content\":\" a few words of answer text\"},"
                                   "\"logprobs\":null,\"finish_reason\":null}",
                 i == USAGE ? "{\"prompt_tokens\":200,\"completion_tokens\":49,\"total_tokens\":249}" : "null");
        make_event(i, data);
    }
    make_event(DONE, "[DONE]");
    /* The end of the chunked body travels with [DONE]. */
    event_sizes[DONE] += snprintf(events[DONE] + event_sizes[DONE], 16, "0\r\n\r\n");
}

static void drop(struct connection *c) {
    for (struct connection **at = &streams; *at; at = &(*at)->next)
        if (*at == c) {
            *at = c->next;
            break;
        }
    by_fd[c->fd] = NULL;
    close(c->fd);
    free(c);
}

/* Answers are far smaller than a socket buffer: a short write means that the peer is gone or stuck. */
static int put(struct connection *c, const char *data, int size) {
    return write(c->fd, data, size) == size;
}

/* xorshift64*: a number from 0 to below `most`. */
static int any_below(int most) {
    chance ^= chance >> 12, chance ^= chance << 25, chance ^= chance >> 27;
    return (int)((chance * 2685821657736338717u >> 33) % (uint64_t)most);
}

static int put_event(struct connection *c, int at) {
    int kind = at == c->events ? DONE : at == c->events - 1 ? USAGE : CONTENT;
    return put(c, events[kind], event_sizes[kind]);
}

static void wait_for(struct connection *c, int next_event, int wait_us) {
    c->next_event = next_event;
    c->due_us = now_us() + wait_us;
    c->next = streams;
    streams = c;
}

/* Handles every whole request in the buffer; 0 when the connection is over. */
static int serve(struct connection *c) {
    for (;;) {
        c->in[c->used] = 0;
        char *end = strstr(c->in, "\r\n\r\n");
        if (!end) return c->used < IN_SIZE - 1;
        char *field = strcasestr(c->in, "\r\ncontent-length:");
        int length = field && field < end ? atoi(field + 17) : 0;
        int total = (int)(end + 4 - c->in) + length;
        if (total >= IN_SIZE) return 0;
        if (c->used < total) return 1;
        char after = c->in[total];
        c->in[total] = 0;
        int streamed = strstr(end, "\"stream\":true") || strstr(end, "\"stream\": true");
        c->in[total] = after;
        memmove(c->in, c->in + total, c->used - total);
        c->used -= total;
        c->is_whole = !streamed;
        c->events = event_count;
        if (first_us) {
            c->events = event_count / 4 + any_below(event_count * 3 / 2) + 2;
            wait_for(c, 0, first_us / 2 + any_below(first_us));
            continue;
        }
        if (!streamed) {
            if (!put(c, whole, whole_size)) return 0;
            continue;
        }
        if (!put(c, stream_head, stream_head_size) || !put_event(c, 0)) return 0;
        wait_for(c, 1, gap_us);
    }
}

/* Sends the events that are due and returns how long to sleep (ms; -1: nothing to wait for). */
static int tick(void) {
    uint64_t now = now_us(), soonest = UINT64_MAX;
    for (struct connection *c = streams, *next; c; c = next) {
        next = c->next;
        if (c->due_us <= now) {
            int at = c->next_event++;
            if (c->is_whole ? !put(c, whole, whole_size)
                            : (at == 0 && !put(c, stream_head, stream_head_size)) || !put_event(c, at)) {
                drop(c);
                continue;
            }
            c->due_us += gap_us;
            if (at == c->events || c->is_whole) {
                struct connection **link = &streams;
                while (*link != c) link = &(*link)->next;
                *link = c->next;
                c->next_event = -1;
                continue;
            }
        }
        if (c->due_us < soonest) soonest = c->due_us;
    }
    if (soonest == UINT64_MAX) return -1;
    return soonest <= now ? 0 : (int)((soonest - now + 999) / 1000);
}

int main(int argc, char **argv) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(argc > 1 ? atoi(argv[1]) : 0)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1, poller = epoll_create1(0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (void *)&address, sizeof address) || listen(listener, 1024)) die("listen");
    socklen_t size = sizeof address;
    getsockname(listener, (void *)&address, &size);
    if (argc > 4) {
        first_us = atoi(argv[2]) * 1000;
        gap_us = atoi(argv[3]) * 1000;
        event_count = atoi(argv[4]);
    }
    make_answers();
    printf("ready %d\n", ntohs(address.sin_port));
    fflush(stdout);
    struct epoll_event wanted = {.events = EPOLLIN, .data.fd = listener}, got[256];
    epoll_ctl(poller, EPOLL_CTL_ADD, listener, &wanted);
    for (;;) {
        int count = epoll_wait(poller, got, 256, tick());
        if (count < 0 && errno != EINTR) die("epoll_wait");
        for (int i = 0; i < count; i++) {
            if (got[i].data.fd == listener) {
                int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
                if (fd < 0) continue;
                if (fd >= MAX_FD) {
                    close(fd);
                    continue;
                }
                setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
                struct connection *c = calloc(1, sizeof *c);
                if (!c) die("calloc");
                c->fd = fd;
                c->next_event = -1;
                by_fd[fd] = c;
                wanted.data.fd = fd;
                epoll_ctl(poller, EPOLL_CTL_ADD, fd, &wanted);
                continue;
            }
            struct connection *c = by_fd[got[i].data.fd];
            if (!c) continue;
            ssize_t n = read(c->fd, c->in + c->used, IN_SIZE - 1 - c->used);
            if (n < 0 && errno == EAGAIN) continue;
            if (n <= 0) {
                drop(c);
                continue;
            }
            c->used += (int)n;
            if (!serve(c)) drop(c);
        }
    }
}
