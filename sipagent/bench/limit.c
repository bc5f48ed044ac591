/* The limit: the system calls that no program can spare that carries calls between telephones and a model, and no more.
 *
 *     limit CALLS SECONDS OUR_PROCESSOR OTHER_PROCESSOR PRIORITY PACKET_BYTES APPEND_BYTES DELTA_BYTES
 *
 * Of every call and second: fifty packets received by a UDP socket of its own and fifty sent by it, fifty messages as
 * long as an append written to a TCP connection of its own, five audio deltas read from that. Packets come spread over
 * the 20 ms, a share each millisecond, and are sent in four turns of 5 ms. One epoll waits for everything. Nothing is
 * parsed, kept or judged. A second process on another processor is telephones and model. PRIORITY is a real-time one, 0
 * for none. Printed is a line of JSON:
 * the processor time that the kernel counted for the first, and what it did in it.
 */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { BUFFER = 65536, EVENTS = 64, PACKET_MS = 20, DELTA_MS = 200, TURNS = 4, WARM_UP_MS = 500 };

typedef struct {
    int media, phone, stream, model;
    struct sockaddr_in media_address, phone_address;
} Call;

static Call *calls;
static int count, packet_bytes, append_bytes, delta_bytes;
static char buffer[BUFFER];

static void fail(const char *what) {
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    exit(1);
}

/* Stay on a processor; a priority above zero is a real-time one. */
static void settle(int processor, int priority) {
    struct sched_param parameters = {.sched_priority = priority};
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(processor, &set);
    if (sched_setaffinity(0, sizeof set, &set) < 0)
        fail("sched_setaffinity");
    if (priority > 0 && sched_setscheduler(0, SCHED_FIFO, &parameters) < 0)
        fail("sched_setscheduler");
}

static int open_socket(int kind, struct sockaddr_in *address) {
    socklen_t length = sizeof *address;
    int handle = socket(AF_INET, kind, 0);
    *address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (handle < 0 || bind(handle, (struct sockaddr *)address, sizeof *address) < 0 ||
        getsockname(handle, (struct sockaddr *)address, &length) < 0)
        fail("socket");
    return handle;
}

static void open_calls(void) {
    struct sockaddr_in address;
    struct rlimit files;
    int on = 1, listener;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    listener = open_socket(SOCK_STREAM, &address);
    if (listen(listener, 64) < 0)
        fail("listen");
    for (Call *call = calls; call < calls + count; call++) {
        call->media = open_socket(SOCK_DGRAM, &call->media_address);
        call->phone = open_socket(SOCK_DGRAM, &call->phone_address);
        call->stream = socket(AF_INET, SOCK_STREAM, 0);
        if (call->stream < 0 || connect(call->stream, (struct sockaddr *)&address, sizeof address) < 0)
            fail("connect");
        call->model = accept(listener, NULL, NULL);
        if (call->model < 0)
            fail("accept");
        setsockopt(call->stream, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        setsockopt(call->model, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    }
    close(listener);
}

/* The other side: each call's telephone and model have their turn once in 20 ms, a delta comes every tenth time. */
static void serve(volatile int *is_over) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    for (long beat = 0; !*is_over; beat++) {
        for (int number = beat % PACKET_MS; number < count; number += PACKET_MS) {
            Call *call = &calls[number];
            recv(call->phone, buffer, BUFFER, MSG_DONTWAIT);
            recv(call->model, buffer, BUFFER, MSG_DONTWAIT);
            sendto(call->phone, buffer, packet_bytes, MSG_DONTWAIT, (struct sockaddr *)&call->media_address,
                   sizeof call->media_address);
            if ((beat / PACKET_MS + number) % (DELTA_MS / PACKET_MS) == 0)
                send(call->model, buffer, delta_bytes, MSG_DONTWAIT);
        }
        at.tv_nsec += 1000000;
        if (at.tv_nsec >= 1000000000) {
            at.tv_nsec -= 1000000000;
            at.tv_sec++;
        }
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
    }
}

/* What is measured. */

typedef struct {
    long packets, sent, appends, deltas, turns;
} Work;

enum { MEDIA, STREAM, CLOCK };

static uint64_t name(int kind, int number) { return (uint64_t)kind << 32 | (uint32_t)number; }

static int open_epoll(int clock) {
    int epoll = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = name(CLOCK, 0)};
    epoll_ctl(epoll, EPOLL_CTL_ADD, clock, &event);
    for (int number = 0; number < count; number++) {
        event.data.u64 = name(MEDIA, number);
        epoll_ctl(epoll, EPOLL_CTL_ADD, calls[number].media, &event);
        event.data.u64 = name(STREAM, number);
        epoll_ctl(epoll, EPOLL_CTL_ADD, calls[number].stream, &event);
    }
    return epoll;
}

static int open_clock(void) {
    long step = PACKET_MS / TURNS * 1000000L;
    struct itimerspec every = {.it_interval = {0, step}, .it_value = {0, step}};
    int clock = timerfd_create(CLOCK_MONOTONIC, 0);
    if (clock < 0 || timerfd_settime(clock, 0, &every, NULL) < 0)
        fail("timerfd");
    return clock;
}

static void take(uint64_t event, int clock, Work *work) {
    Call *call = &calls[event & 0xFFFFFFFF];
    uint64_t passed, expired;
    switch (event >> 32) {
    case MEDIA:
        work->packets += recvfrom(call->media, buffer, BUFFER, 0, NULL, NULL) > 0;
        work->appends += send(call->stream, buffer, append_bytes, MSG_DONTWAIT) > 0;
        break;
    case STREAM:
        work->deltas += recv(call->stream, buffer, BUFFER, 0) > 0;
        break;
    default:
        for (passed = read(clock, &expired, sizeof expired) > 0 ? expired : 0; passed > 0; passed--) {
            for (int number = work->turns % TURNS; number < count; number += TURNS)
                work->sent += sendto(calls[number].media, buffer, packet_bytes, MSG_DONTWAIT,
                                     (struct sockaddr *)&calls[number].phone_address,
                                     sizeof calls[number].phone_address) > 0;
            work->turns++;
        }
    }
}

static Work carry(int epoll, int clock, long turns) {
    struct epoll_event events[EVENTS];
    Work work = {0};
    while (work.turns < turns) {
        int ready = epoll_wait(epoll, events, EVENTS, -1);
        for (int i = 0; i < ready; i++)
            take(events[i].data.u64, clock, &work);
    }
    return work;
}

static double microseconds(struct timeval from, struct timeval to) {
    return (to.tv_sec - from.tv_sec) * 1e6 + to.tv_usec - from.tv_usec;
}

int main(int argc, char **argv) {
    if (argc != 9) {
        fputs("limit CALLS SECONDS OUR_PROCESSOR OTHER_PROCESSOR PRIORITY PACKET_BYTES APPEND_BYTES DELTA_BYTES\n", stderr);
        return 2;
    }
    double seconds = atof(argv[2]);
    int priority = atoi(argv[5]);
    struct rusage before, after;
    volatile int *is_over = mmap(NULL, sizeof *is_over, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    count = atoi(argv[1]);
    packet_bytes = atoi(argv[6]);
    append_bytes = atoi(argv[7]);
    delta_bytes = atoi(argv[8]);
    calls = calloc(count, sizeof *calls);
    if (!calls || is_over == MAP_FAILED)
        fail("memory");
    open_calls();
    pid_t other = fork();
    if (other < 0)
        fail("fork");
    if (other == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        settle(atoi(argv[4]), priority - 1);
        serve(is_over);
        _exit(0);
    }
    settle(atoi(argv[3]), priority);
    int clock = open_clock(), epoll = open_epoll(clock), turn_ms = PACKET_MS / TURNS;
    carry(epoll, clock, WARM_UP_MS / turn_ms);
    getrusage(RUSAGE_SELF, &before);
    Work work = carry(epoll, clock, (long)(seconds * 1000) / turn_ms);
    getrusage(RUSAGE_SELF, &after);
    *is_over = 1;
    waitpid(other, NULL, 0);
    printf("{\"user_us\": %.0f, \"system_us\": %.0f, \"packets\": %ld, \"sent\": %ld, \"appends\": %ld, \"deltas\": %ld}\n",
           microseconds(before.ru_utime, after.ru_utime), microseconds(before.ru_stime, after.ru_stime), work.packets,
           work.sent, work.appends, work.deltas);
    return 0;
}
