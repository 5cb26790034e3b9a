/* What a client of the bench does; one line at the end says how much of it was done, and in how many ns.
 *
 *   traffic up ADDRESS SECONDS STREAMS               TCP to port 5001
 *   traffic down ADDRESS SECONDS STREAMS             TCP from port 5002
 *   traffic connect ADDRESS SECONDS                  connections to port 5003, one after another: a greeting each
 *   traffic send ADDRESS SECONDS RATE OCTETS [FLOWS] datagrams to port 5004; RATE 0: as many as it can; FLOWS: in turn, to
 *                                                    ports from 5004 on
 *   traffic receive ADDRESS SECONDS RATE OCTETS      datagrams from port 5005
 *   traffic ping ADDRESS SECONDS RATE                echo requests; one is waited for until the next is due, 1 s at least
 *   traffic flows ADDRESS COUNT                      one datagram in each of that many flows, as `send` has them
 *   traffic await INTERFACE                          waits until there is one of that name
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { TAKE = 5001, GIVE, GREET, DRAIN, FLOOD, PIECE = 1 << 18, STREAMS = 64, FLOWS_OF_ONE = 4096, SAMPLES = 1 << 16 };

static char buffer[PIECE];
static struct sockaddr_in to = {.sin_family = AF_INET};
static uint64_t began, end;

static uint64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static void sleep_until(uint64_t ns) {
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &(struct timespec){ns / 1000000000, ns % 1000000000}, NULL);
}

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static int open_socket(int kind, uint16_t port) {
    int fd = socket(AF_INET, kind, 0);
    to.sin_port = htons(port);
    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to)) fail("connect");
    return fd;
}

static int stream(int count, int up) {
    struct pollfd fds[STREAMS];
    uint64_t octets = 0;
    for (int i = 0; i < count; i++) fds[i] = (struct pollfd){open_socket(SOCK_STREAM, up ? TAKE : GIVE), up ? POLLOUT : POLLIN, 0};
    while (now() < end && poll(fds, count, 100) >= 0) {
        for (int i = 0; i < count; i++) {
            if (!fds[i].revents) continue;
            ssize_t n = up ? send(fds[i].fd, buffer, sizeof buffer, MSG_DONTWAIT | MSG_NOSIGNAL)
                           : recv(fds[i].fd, buffer, sizeof buffer, MSG_DONTWAIT);
            if (n > 0) octets += n;
            else if (n == 0 || errno != EAGAIN) fail("stream");
        }
    }
    printf("octets %llu ns %llu\n", (unsigned long long)octets, (unsigned long long)(now() - began));
    return 0;
}

static int connections(void) {
    unsigned done = 0, failed = 0;
    while (now() < end) {
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        char c;
        to.sin_port = htons(GREET);
        if (connect(fd, (struct sockaddr *)&to, sizeof to) == 0 && recv(fd, &c, 1, 0) == 1) done++;
        else failed++;
        close(fd);
    }
    printf("connections %u failed %u ns %llu\n", done, failed, (unsigned long long)(now() - began));
    return 0;
}

/* The sockets of that many flows, FLOWS_OF_ONE to each: one flow for a pair of source and destination port. */
static int *open_flows(unsigned flows) {
    unsigned sockets = (flows + FLOWS_OF_ONE - 1) / FLOWS_OF_ONE;
    int *fds = calloc(sockets, sizeof *fds);
    for (unsigned i = 0; i < sockets; i++) {
        struct sockaddr_in from = {.sin_family = AF_INET, .sin_port = htons(20000 + i)};
        fds[i] = socket(AF_INET, SOCK_DGRAM, 0);
        if (bind(fds[i], (struct sockaddr *)&from, sizeof from)) fail("bind");
    }
    return fds;
}

static int send_by(const int *fds, unsigned flow, unsigned octets) {
    to.sin_port = htons(DRAIN + flow % FLOWS_OF_ONE);
    return sendto(fds[flow / FLOWS_OF_ONE], buffer, octets, 0, (struct sockaddr *)&to, sizeof to) >= 0;
}

static int send_datagrams(unsigned rate, unsigned octets, unsigned flows) {
    const int *fds = open_flows(flows);
    uint64_t sent = 0, n = 0;
    for (uint64_t t = began; t < end; t = now()) {
        uint64_t due = rate ? (t - began) * rate / 1000000000 + 1 : n + 32;
        for (; n < due; n++) sent += send_by(fds, n % flows, octets);
        if (rate) sleep_until(began + n * 1000000000ull / rate);
    }
    printf("datagrams %llu ns %llu\n", (unsigned long long)sent, (unsigned long long)(now() - began));
    return 0;
}

static int receive_datagrams(const char *seconds, const char *rate, const char *octets) {
    int fd = open_socket(SOCK_DGRAM, FLOOD), size = 1 << 21;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    int length = snprintf(buffer, sizeof buffer, "%s %s %s", seconds, rate, octets);
    if (send(fd, buffer, length, 0) != length) fail("send");
    uint64_t count = 0, first = 0, last = 0;
    struct pollfd one = {fd, POLLIN, 0};
    while (poll(&one, 1, first ? 500 : 5000) > 0) {
        while (recv(fd, buffer, 2048, MSG_DONTWAIT) >= 0) count++;
        last = now();
        first = first ? first : last;
    }
    printf("datagrams %llu ns %llu\n", (unsigned long long)count, (unsigned long long)(last - first));
    return 0;
}

static uint16_t checksum(const void *data, unsigned octets) {
    const uint16_t *words = data;
    uint32_t sum = 0;
    for (unsigned i = 0; i < octets / 2; i++) sum += words[i];
    sum = (sum & 0xFFFF) + (sum >> 16);
    return ~(sum + (sum >> 16));
}

static int by_size(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static int pings(unsigned rate) {
    static uint64_t took[SAMPLES];
    unsigned sent = 0, got = 0;
    int fd = socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);
    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to)) fail("ping");
    uint16_t id = htons(getpid() & 0xFFFF);
    uint64_t step = 1000000000 / rate;
    // behind one that was late or lost the next is sent at once, and none behind the end, when nothing else goes on
    for (uint64_t due = began; due < end && got < SAMPLES; due = now() > due + step ? now() : due + step) {
        sleep_until(due);
        struct { struct icmphdr head; char rest[56]; } m = {.head = {.type = ICMP_ECHO, .un.echo = {id, htons(sent++)}}};
        m.head.checksum = checksum(&m, sizeof m);
        uint64_t t = now(), until = t + (rate > 1 ? 1000000000 : 1000000000 / rate);
        if (send(fd, &m, sizeof m, 0) < 0) continue;
        struct pollfd one = {fd, POLLIN, 0};
        while (now() < until && poll(&one, 1, (until - now()) / 1000000 + 1) > 0) {
            char in[256];
            ssize_t n = recv(fd, in, sizeof in, 0);
            struct icmphdr *head = (struct icmphdr *)(in + 20);
            if (n >= 28 && head->type == ICMP_ECHOREPLY && head->un.echo.id == id && head->un.echo.sequence == m.head.un.echo.sequence) {
                took[got++] = now() - t;
                break;
            }
        }
    }
    uint64_t sum = 0;
    for (unsigned i = 0; i < got; i++) sum += took[i];
    qsort(took, got, sizeof *took, by_size);
    printf("pings %u answered %u mean %llu p50 %llu p99 %llu worst %llu ns %llu\n", sent, got, (unsigned long long)(got ? sum / got : 0),
           (unsigned long long)(got ? took[got / 2] : 0), (unsigned long long)(got ? took[(got - 1) * 99 / 100] : 0),
           (unsigned long long)(got ? took[got - 1] : 0), (unsigned long long)(now() - began));
    return 0;
}

static int flows(unsigned count) {
    const int *fds = open_flows(count);
    unsigned made = 0;
    for (; made < count; made++) {
        send_by(fds, made, 8);
        if (made % 32 == 31) usleep(1000); /* sockets wait for room; a flow that is not answered lasts some 30 s */
    }
    printf("flows %u ns %llu\n", made, (unsigned long long)(now() - began));
    return 0;
}

/* A look costs next to nothing: a shell that looks takes the CPU from whoever is to make the interface. */
static int await_interface(const char *name) {
    char path[64];
    snprintf(path, sizeof path, "/sys/class/net/%s", name);
    while (access(path, F_OK)) usleep(500);
    return 0;
}

int main(int n, char **words) {
    if (n == 3 && !strcmp(words[1], "await")) return await_interface(words[2]);
    if (n < 4 || inet_pton(AF_INET, words[2], &to.sin_addr) != 1) {
        fprintf(stderr, "usage: see the head of traffic.c\n");
        return 2;
    }
    const char *what = words[1];
    unsigned first = n > 4 ? atoi(words[4]) : 1, second = n > 5 ? atoi(words[5]) : 64;
    began = now();
    end = began + atof(words[3]) * 1e9;
    if (!strcmp(what, "up") || !strcmp(what, "down")) return stream(first < STREAMS ? first : STREAMS, what[0] == 'u');
    if (!strcmp(what, "connect")) return connections();
    if (!strcmp(what, "send")) return send_datagrams(first, second, n > 6 ? atoi(words[6]) : 1);
    if (!strcmp(what, "receive")) return receive_datagrams(words[3], n > 4 ? words[4] : "0", n > 5 ? words[5] : "64");
    if (!strcmp(what, "ping")) return pings(first ? first : 1);
    if (!strcmp(what, "flows")) return flows(atoi(words[3]));
    fprintf(stderr, "traffic: %s: not known\n", what);
    return 2;
}
