#define _GNU_SOURCE
/* An open load: requests come at a rate of their own, whether or not earlier ones were answered. One thread, epoll.
 *
 * Usage: open_client PORT PATH CONNECTIONS WARM_S SECONDS RATE SEED KEY BODY_FILE
 * Arrivals are a Poisson process of RATE a second that SEED determines. Each takes an idle connection or a
 * new one; where CONNECTIONS are busy, it is counted as unsent. Latencies are counted from the moment at which a request was due, so a generator that
 * falls behind does not flatter what it measures; "late" says how far it fell behind. What is due in the first WARM_S seconds is sent and not counted.
 * Prints one JSON line. An answer counts as good when its status is 200 and all of it arrived. */
#include <arpa/inet.h>
#include <errno.h>
#include <math.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BUFFER = 65536, HEAD = 4096, MAX_SAMPLES = 1 << 21 };

struct connection {
    int fd, busy, counted, status, head_size, in_body, chunked, matched, has_retry_after;
    long left;
    uint64_t due_us;
    struct connection *next_idle;
    char head[HEAD + 1];
};

struct samples {
    uint32_t *us;
    long count;
};

static const char END[] = "0\r\n\r\n"; /* the last chunk; no event ends so */
static char request[131072];
static int request_size, poller;
static struct connection *idle, *all;
static int dialled, most;
static struct samples first, whole, shed, late;
static long sent, unsent, good, refused, bare, other, broken, open_count;
static struct sockaddr_in address;

static uint64_t now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void die(const char *what) {
    perror(what);
    exit(1);
}

static void keep(struct samples *s, uint64_t us) {
    if (!s->us && !(s->us = malloc(MAX_SAMPLES * sizeof *s->us))) die("malloc");
    if (s->count < MAX_SAMPLES) s->us[s->count++] = us > UINT32_MAX ? UINT32_MAX : (uint32_t)us;
}

static int compare(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static uint32_t quantile(struct samples *s, double share) {
    return s->count ? s->us[(long)((double)(s->count - 1) * share)] : 0;
}

/* xorshift64*: enough for arrival times. */
static double uniform(uint64_t *state) {
    *state ^= *state >> 12, *state ^= *state << 25, *state ^= *state >> 27;
    return (double)((*state * 2685821657736338717u) >> 11) / 9007199254740992.0;
}

static void dial(struct connection *c) {
    int one = 1;
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (c->fd < 0 || connect(c->fd, (void *)&address, sizeof address)) die("connect");
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    struct epoll_event wanted = {.events = EPOLLIN, .data.ptr = c};
    epoll_ctl(poller, EPOLL_CTL_ADD, c->fd, &wanted);
}

/* An idle connection, a new one while there may be more, or NULL. They are opened as they are needed. */
static struct connection *take_idle(void) {
    struct connection *c = idle;
    if (c) {
        idle = c->next_idle;
    } else if (dialled < most) {
        c = &all[dialled++];
        dial(c);
    }
    return c;
}

static void ask(struct connection *c, uint64_t due_us, int counted) {
    c->busy = 1;
    c->counted = counted;
    c->due_us = due_us;
    c->head_size = c->in_body = c->matched = 0;
    open_count++;
    if (write(c->fd, request, request_size) != request_size) die("write");
}

static void answered(struct connection *c) {
    uint64_t took_us = now_us() - c->due_us;
    c->busy = 0;
    open_count--;
    c->next_idle = idle;
    idle = c;
    if (!c->counted) return;
    if (c->status == 200) {
        good++;
        keep(&whole, took_us);
    } else if (c->status == 503) {
        refused++;
        bare += !c->has_retry_after;
        keep(&shed, took_us);
    } else {
        other++;
    }
}

/* Takes the head; returns how many bytes of `data` belonged to it, -1 when it is none. */
static ssize_t take_head(struct connection *c, const char *data, ssize_t size) {
    ssize_t room = HEAD - c->head_size, more = size < room ? size : room;
    int before = c->head_size;
    memcpy(c->head + c->head_size, data, more);
    c->head_size += (int)more;
    c->head[c->head_size] = 0;
    char *end = strstr(c->head, "\r\n\r\n");
    if (!end) return c->head_size == HEAD ? -1 : more;
    end[2] = 0;
    c->status = atoi(c->head + 9);
    c->has_retry_after = strcasestr(c->head, "\r\nretry-after:") != NULL;
    c->chunked = strcasestr(c->head, "\r\ntransfer-encoding: chunked") != NULL;
    char *length = strcasestr(c->head, "\r\ncontent-length:");
    c->left = length ? atol(length + 17) : 0;
    c->in_body = 1;
    if (c->counted && c->status == 200) keep(&first, now_us() - c->due_us);
    return end + 4 - c->head - before;
}

/* Takes what arrived; 0 when it cannot be an answer. */
static int take(struct connection *c, const char *data, ssize_t size) {
    if (!c->in_body) {
        ssize_t used = take_head(c, data, size);
        if (used < 0) return 0;
        if (!c->in_body) return 1;
        data += used;
        size -= used;
    }
    if (!c->chunked) {
        c->left -= size;
        if (c->left <= 0) answered(c);
        return 1;
    }
    /* A match may straddle two reads, so it is counted byte by byte over the last few bytes only. */
    ssize_t from = size > 8 && c->matched == 0 ? size - 8 : 0;
    for (ssize_t i = from; i < size; i++) {
        c->matched = data[i] == END[c->matched] ? c->matched + 1 : data[i] == END[0];
        if (c->matched == 5) {
            answered(c);
            return 1;
        }
    }
    return 1;
}

static void lost(struct connection *c) {
    if (c->busy) {
        open_count--;
        broken += c->counted;
    } else {
        struct connection **at = &idle;
        while (*at != c) at = &(*at)->next_idle;
        *at = c->next_idle;
    }
    close(c->fd);
    dial(c);
    c->busy = 0;
    c->next_idle = idle;
    idle = c;
}

int main(int argc, char **argv) {
    if (argc != 10) {
        fprintf(stderr, "usage: open_client PORT PATH CONNECTIONS WARM_S SECONDS RATE SEED KEY BODY_FILE\n");
        return 2;
    }
    most = atoi(argv[3]);
    double rate = atof(argv[6]);
    uint64_t state = strtoull(argv[7], NULL, 10) * 2654435761u + 88172645463325252u;
    static char body[65536], buffer[BUFFER];
    FILE *file = fopen(argv[9], "rb");
    if (!file) die(argv[9]);
    size_t body_size = fread(body, 1, sizeof body, file);
    fclose(file);
    request_size = snprintf(request, sizeof request,
                            "POST %s HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
                            "authorization: Bearer %s\r\ncontent-length: %zu\r\n\r\n%.*s",
                            argv[2], argv[8], body_size, (int)body_size, body);
    poller = epoll_create1(0);
    address.sin_family = AF_INET;
    address.sin_port = htons(atoi(argv[1]));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    all = calloc(most, sizeof *all);
    if (!all) die("calloc");
    uint64_t start_us = now_us(), warm_us = start_us + (uint64_t)(atof(argv[4]) * 1e6);
    uint64_t end_us = warm_us + (uint64_t)(atof(argv[5]) * 1e6), last_us = end_us + 15000000;
    double due_us = (double)start_us;
    struct epoll_event got[256];
    for (uint64_t now = now_us(); now < last_us && (now < end_us || open_count); now = now_us()) {
        while (due_us <= (double)now && due_us < (double)end_us) {
            struct connection *c = take_idle();
            int counted = due_us >= (double)warm_us;
            if (c) {
                ask(c, (uint64_t)due_us, counted);
                sent += counted;
                if (counted) keep(&late, now_us() - (uint64_t)due_us);
            } else {
                unsent += counted;
            }
            due_us += -log(1.0 - uniform(&state)) / rate * 1e6;
        }
        double wait_us = due_us - (double)now_us();
        int wait_ms = due_us >= (double)end_us ? 50 : wait_us <= 0 ? 0 : (int)(wait_us / 1000) + 1;
        int ready = epoll_wait(poller, got, 256, wait_ms < 50 ? wait_ms : 50);
        for (int i = 0; i < ready; i++) {
            struct connection *c = got[i].data.ptr;
            ssize_t size = read(c->fd, buffer, sizeof buffer);
            if (size <= 0 || !c->busy || !take(c, buffer, size)) lost(c);
        }
    }
    qsort(first.us, first.count, sizeof *first.us, compare);
    qsort(whole.us, whole.count, sizeof *whole.us, compare);
    qsort(late.us, late.count, sizeof *late.us, compare);
    qsort(shed.us, shed.count, sizeof *shed.us, compare);
    printf("{\"sent\":%ld,\"unsent\":%ld,\"good\":%ld,\"shed\":%ld,\"shed_without_retry_after\":%ld,\"other\":%ld,"
           "\"broken\":%ld,\"unanswered\":%ld,\"first_p50_us\":%u,\"first_p99_us\":%u,\"whole_p50_us\":%u,"
           "\"whole_p99_us\":%u,\"shed_p50_us\":%u,\"shed_p99_us\":%u,\"late_p50_us\":%u,\"late_p99_us\":%u}\n",
           sent, unsent, good, refused, bare, other, broken, open_count, quantile(&first, 0.5), quantile(&first, 0.99),
           quantile(&whole, 0.5), quantile(&whole, 0.99), quantile(&shed, 0.5), quantile(&shed, 0.99),
           quantile(&late, 0.5), quantile(&late, 0.99));
    return 0;
}
