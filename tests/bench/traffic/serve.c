/* What answers the bench's clients on the internet: serve COUNTERS
 *
 *   TCP 5001  takes all that comes              TCP 5003  sends one octet and closes
 *   TCP 5002  sends as long as it is taken      UDP 5004  takes all that comes
 *   UDP 5005  a datagram "SECONDS RATE OCTETS" is answered with so many datagrams a second, 0: as many as it can
 *
 * COUNTERS is a file that holds struct counters while this runs: whoever copies it twice knows what passed in between. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { TAKE = 5001, GIVE, GREET, DRAIN, FLOOD, LAST = FLOOD, PIECE = 1 << 18, EVENTS = 64 };

static struct counters {
    uint64_t taken, given, greeted, drained, flooded; /* octets, octets, connections, datagrams, datagrams */
} *counters;
static char buffer[PIECE];
static int poll_set;

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static void add(int fd, uint32_t events, uint32_t role) {
    struct epoll_event event = {.events = events, .data.u64 = (uint64_t)role << 32 | (uint32_t)fd};
    if (epoll_ctl(poll_set, EPOLL_CTL_ADD, fd, &event)) fail("epoll_ctl");
}

static void open_port(uint16_t port) {
    int stream = port <= GREET, on = 1;
    int fd = socket(AF_INET, (stream ? SOCK_STREAM : SOCK_DGRAM) | SOCK_NONBLOCK, 0);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&at, sizeof at)) fail("bind");
    if (stream && listen(fd, 4096)) fail("listen");
    add(fd, EPOLLIN, port);
}

static void accept_all(int listener, uint16_t port) {
    for (int fd; (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0;) {
        if (port == GREET) {
            counters->greeted += write(fd, "!", 1) == 1;
            close(fd);
        } else {
            add(fd, port == TAKE ? EPOLLIN : EPOLLOUT, port == TAKE ? 1 : 2);
        }
    }
}

static void take(int fd) {
    ssize_t n = recv(fd, buffer, sizeof buffer, 0);
    if (n > 0) counters->taken += n;
    else if (n == 0 || errno != EAGAIN) close(fd);
}

static void give(int fd) {
    ssize_t n = send(fd, buffer, sizeof buffer, MSG_NOSIGNAL);
    if (n > 0) counters->given += n;
    else if (errno != EAGAIN) close(fd);
}

static void drain(int fd) {
    while (recv(fd, buffer, sizeof buffer, 0) >= 0) counters->drained++;
}

static uint64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ull + t.tv_nsec;
}

/* In a process of its own: the others go on. */
static void flood(int fd) {
    struct sockaddr_in to;
    socklen_t size = sizeof to;
    char text[64] = "";
    if (recvfrom(fd, text, sizeof text - 1, 0, (struct sockaddr *)&to, &size) < 0) return;
    double seconds = 0;
    unsigned rate = 0, octets = 0;
    if (sscanf(text, "%lf %u %u", &seconds, &rate, &octets) != 3 || octets > 1472 || fork()) return;
    fcntl(fd, F_SETFL, 0); /* this process waits for room */
    uint64_t began = now(), end = began + seconds * 1e9;
    for (uint64_t n = 0, t = began; t < end; t = now()) {
        uint64_t due = rate ? (t - began) * rate / 1000000000 + 1 : n + 32;
        for (; n < due; n++) counters->flooded += sendto(fd, buffer, octets, 0, (struct sockaddr *)&to, size) >= 0;
        if (rate) {
            uint64_t next = began + n * 1000000000ull / rate;
            clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &(struct timespec){next / 1000000000, next % 1000000000}, NULL);
        }
    }
    _exit(0);
}

int main(int n, char **words) {
    int file = n == 2 ? open(words[1], O_RDWR | O_CREAT | O_TRUNC, 0644) : -1;
    if (file < 0 || ftruncate(file, 4096)) fail("usage: serve COUNTERS");
    counters = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    signal(SIGCHLD, SIG_IGN);
    poll_set = epoll_create1(0);
    for (uint16_t port = TAKE; port <= LAST; port++) open_port(port);
    puts("ready");
    fflush(stdout);
    for (;;) {
        struct epoll_event events[EVENTS];
        int count = epoll_wait(poll_set, events, EVENTS, -1);
        for (int i = 0; i < count; i++) {
            int fd = (int)(uint32_t)events[i].data.u64;
            uint32_t role = events[i].data.u64 >> 32;
            if (role == 1) take(fd);
            else if (role == 2) give(fd);
            else if (role <= GREET) accept_all(fd, role);
            else if (role == DRAIN) drain(fd);
            else flood(fd);
        }
    }
}
