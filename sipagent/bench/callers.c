/* The callers' media in C: what caller.py does in Python, for many hundreds of calls on part of a core.
 *
 * One thread beats once a millisecond. A beat serves the callers whose place in the 20 ms it is: it takes what has
 * arrived at each, in one system call and with the kernel's time of arrival, and sends its next packet. So nobody is
 * woken by what the program under test sends, and reading late measures right all the same. All else is done by the
 * thread of the interpreter that loads this, through the functions at the end; a lock keeps the two apart.
 *
 * Times are seconds of the monotonic clock. Sockets are IPv4.
 */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    HEADER = 12,
    MARK = 9,
    FRAME = 160,
    MAX_PACKET = 2048,
    BATCH = 8,            /* packets a system call; more than arrive in 20 ms */
    SLOTS = 20,           /* a millisecond each */
    PAIR_TRIES = 100,
    REPORT_FRAMES = 250,  /* a sender report every five seconds */
    AUDIBLE = 0x30,       /* a sample of a law's fourth segment or louder: -31 dBFS */
    STRANGERS = 25,       /* packets of another source running, and it is the agent's new one */
};

static const double SLOT_S = 0.001, UNSTOPPED_S = 2.0, STALLED_S = 1.0;

typedef struct {
    void *items;
    size_t count, room;
} List;

/* What is counted of a caller; callers.py holds the same structure. */
typedef struct {
    uint64_t sent, strange, unstopped;
    List numbers;  /* uint16_t: sequence numbers, as they arrived */
    List arrived;  /* double: when */
    List first;    /* double: from a response's first delta to its packet */
    List stops;    /* double: from the caller's first packet of speech to the last of the agent's */
    List replies;  /* double: from the caller's last packet of speech to the agent's first */
    List late;     /* double: by how much our own packets missed their time */
} Counts;

typedef struct {
    int rtp, rtcp;
    int talks;
    struct sockaddr_in remote, remote_rtcp;
    uint32_t ssrc, timestamp;
    uint16_t sequence;
    int position;
    uint32_t packets;
    uint32_t source, stranger; /* SSRCs: the agent's, and one that is not */
    int knows_source, strangers;
    uint16_t last, offset; /* the last number, and what makes a new source's go on from the old one's */
    double audible_at, onset_at, ended_at; /* the latter two below zero: not waited for */
    Counts counts;
} Caller;

typedef struct {
    Caller *callers;
    int capacity;
    uint8_t *script; /* frames without the room for the mark */
    int frames, onset, end;
    int marked;
    double stopped_s, wall_offset;
    pthread_t thread;
    pthread_mutex_t lock;
    int runs;
    int talking[SLOTS]; /* how many callers have their place there */
    volatile int stopping;
} Callers;

static double read_clock(clockid_t clock) {
    struct timespec at;
    clock_gettime(clock, &at);
    return at.tv_sec + at.tv_nsec / 1e9;
}

static void append(List *list, const void *item, size_t size) {
    if (list->count == list->room) {
        size_t room = list->room ? 2 * list->room : 64;
        void *items = realloc(list->items, room * size);
        if (!items)
            abort();
        list->items = items;
        list->room = room;
    }
    memcpy((char *)list->items + list->count++ * size, item, size);
}

static void append_time(List *list, double seconds) { append(list, &seconds, sizeof seconds); }

static void forget(Counts *counts) {
    free(counts->numbers.items);
    free(counts->arrived.items);
    free(counts->first.items);
    free(counts->stops.items);
    free(counts->replies.items);
    free(counts->late.items);
    memset(counts, 0, sizeof *counts);
}

/* The mark of mark.py: a byte that says whose frame it is, and eight digits of microseconds in quiet samples. */

enum { CALLER_MARK = 0xF1, AGENT_MARK = 0xF2, AGENT_BEGINS_MARK = 0xF3 };

static void write_mark(uint8_t *mark, double at) {
    uint32_t microseconds = (uint32_t)(uint64_t)(at * 1e6);
    mark[0] = CALLER_MARK;
    for (int digit = 0; digit < 8; digit++)
        mark[1 + digit] = 0xF0 | (microseconds >> (28 - 4 * digit) & 0xF);
}

static double read_age(const uint8_t *mark, double now) {
    uint32_t made = 0;
    for (int digit = 0; digit < 8; digit++)
        made = made << 4 | (mark[1 + digit] & 0xF);
    return (uint32_t)((uint32_t)(uint64_t)(now * 1e6) - made) / 1e6;
}

static int is_loud(const uint8_t *payload, size_t length) {
    for (size_t at = 0; at < length; at++)
        if ((~payload[at] & 0x7F) >= AUDIBLE)
            return 1;
    return 0;
}

/* Arrivals. */

static void time_stop(Callers *all, Caller *caller, double at, int begins) {
    Counts *counts = &caller->counts;
    if (begins || at - caller->audible_at > all->stopped_s) {
        if (caller->audible_at > caller->onset_at) /* else it had stopped by itself */
            append_time(&counts->stops, caller->audible_at - caller->onset_at);
    } else if (at - caller->onset_at > UNSTOPPED_S)
        counts->unstopped++;
    else
        return;
    caller->onset_at = -1;
}

static void hear(Callers *all, Caller *caller, const uint8_t *payload, double at) {
    int begins = all->marked && payload[0] == AGENT_BEGINS_MARK;
    int audible = all->marked ? begins || payload[0] == AGENT_MARK : is_loud(payload, FRAME);
    if (caller->onset_at >= 0)
        time_stop(all, caller, at, begins);
    if (begins)
        append_time(&caller->counts.first, read_age(payload, at));
    if (!audible)
        return;
    if (caller->ended_at >= 0 && at > caller->ended_at) {
        append_time(&caller->counts.replies, at - caller->ended_at);
        caller->ended_at = -1;
    }
    caller->audible_at = at;
}

/* Whether a packet is the agent's: on a machine with others somebody may still send to who had this port before. */
static int is_agent(Caller *caller, const uint8_t *packet) {
    uint32_t source;
    uint16_t number = packet[2] << 8 | packet[3];
    memcpy(&source, packet + 8, sizeof source);
    if (!caller->knows_source || source == caller->source) {
        caller->strangers = 0;
    } else {
        caller->strangers = source == caller->stranger ? caller->strangers + 1 : 1;
        caller->stranger = source;
        if (caller->strangers < STRANGERS)
            return 0;
        caller->offset = caller->last + 1 - number;
    }
    caller->source = source;
    caller->knows_source = 1;
    return 1;
}

static void receive(Callers *all, Caller *caller, const uint8_t *packet, size_t length, double at) {
    Counts *counts = &caller->counts;
    if (length != HEADER + FRAME || packet[1] & 0x7F || !is_agent(caller, packet)) {
        counts->strange++;
        return;
    }
    uint16_t number = (packet[2] << 8 | packet[3]) + caller->offset;
    caller->last = number;
    append(&counts->numbers, &number, sizeof number);
    append_time(&counts->arrived, at);
    hear(all, caller, packet + HEADER, at);
}

static double arrival(Callers *all, struct msghdr *message) {
    for (struct cmsghdr *head = CMSG_FIRSTHDR(message); head; head = CMSG_NXTHDR(message, head))
        if (head->cmsg_level == SOL_SOCKET && head->cmsg_type == SCM_TIMESTAMPNS) {
            struct timespec at;
            memcpy(&at, CMSG_DATA(head), sizeof at);
            return at.tv_sec - all->wall_offset + at.tv_nsec / 1e9;
        }
    return read_clock(CLOCK_MONOTONIC);
}

static void receive_all(Callers *all, Caller *caller) {
    static uint8_t packets[BATCH][MAX_PACKET]; /* under the lock */
    static uint8_t controls[BATCH][64];
    struct iovec parts[BATCH];
    struct mmsghdr messages[BATCH];
    int count;
    do {
        memset(messages, 0, sizeof messages);
        for (int i = 0; i < BATCH; i++) {
            parts[i] = (struct iovec){packets[i], MAX_PACKET};
            messages[i].msg_hdr.msg_iov = &parts[i];
            messages[i].msg_hdr.msg_iovlen = 1;
            messages[i].msg_hdr.msg_control = controls[i];
            messages[i].msg_hdr.msg_controllen = sizeof controls[i];
        }
        count = recvmmsg(caller->rtp, messages, BATCH, MSG_DONTWAIT, NULL);
        for (int i = 0; i < count; i++)
            receive(all, caller, packets[i], messages[i].msg_len, arrival(all, &messages[i].msg_hdr));
    } while (count == BATCH);
}

/* Our own packets. */

static void put32(uint8_t *at, uint32_t value) {
    value = htonl(value);
    memcpy(at, &value, sizeof value);
}

/* A sender report without blocks, and a name (RFC 3550, 6.4.1 and 6.5). */
static void report(Caller *caller) {
    uint8_t packet[44] = {0x80, 200, 0, 6};
    double wall = read_clock(CLOCK_REALTIME);
    put32(packet + 4, caller->ssrc);
    put32(packet + 8, (uint32_t)((uint64_t)wall + 2208988800u));
    put32(packet + 12, (uint32_t)((wall - (uint64_t)wall) * 4294967296.0));
    put32(packet + 16, caller->timestamp);
    put32(packet + 20, caller->packets);
    put32(packet + 24, caller->packets * FRAME);
    memcpy(packet + 28, (uint8_t[]){0x81, 202, 0, 3}, 4);
    put32(packet + 32, caller->ssrc);
    memcpy(packet + 36, "\1\5bench", 8);
    sendto(caller->rtcp, packet, sizeof packet, MSG_DONTWAIT, (struct sockaddr *)&caller->remote_rtcp,
           sizeof caller->remote_rtcp);
}

static void send_frame(Callers *all, Caller *caller, double now) {
    uint8_t packet[HEADER + FRAME];
    packet[0] = 0x80;
    packet[1] = 0;
    packet[2] = caller->sequence >> 8;
    packet[3] = caller->sequence & 0xFF;
    put32(packet + 4, caller->timestamp);
    put32(packet + 8, caller->ssrc);
    write_mark(packet + HEADER, now);
    memcpy(packet + HEADER + MARK, all->script + (size_t)caller->position * (FRAME - MARK), FRAME - MARK);
    sendto(caller->rtp, packet, sizeof packet, MSG_DONTWAIT, (struct sockaddr *)&caller->remote, sizeof caller->remote);
    caller->sequence++;
    caller->timestamp += FRAME;
    caller->packets++;
    caller->counts.sent++;
}

static void beat(Callers *all, Caller *caller, double due_at) {
    receive_all(all, caller);
    double now = read_clock(CLOCK_MONOTONIC);
    int position = caller->position, is_quiet = now - caller->audible_at >= all->stopped_s;
    send_frame(all, caller, now);
    append_time(&caller->counts.late, now - due_at);
    if (position == all->onset) {
        caller->ended_at = -1;
        if (!is_quiet)
            caller->onset_at = now;
    }
    if (position == all->end && is_quiet)
        caller->ended_at = now;
    if (caller->onset_at >= 0) /* for an agent that sends nothing while it is silent */
        time_stop(all, caller, now - SLOTS * SLOT_S, 0);
    caller->position = (position + 1) % all->frames;
    if (caller->packets % REPORT_FRAMES == 1)
        report(caller);
}

static void sleep_until(double at) {
    struct timespec until = {(time_t)at, (long)((at - (time_t)at) * 1e9)};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR)
        ;
}

static void *run(void *argument) {
    Callers *all = argument;
    double due_at = read_clock(CLOCK_MONOTONIC);
    prctl(PR_SET_TIMERSLACK, 1000UL);
    for (int slot = 0; !all->stopping; slot = (slot + 1) % SLOTS, due_at += SLOT_S) {
        if (!all->talking[slot] && slot)
            continue;
        sleep_until(due_at);
        if (read_clock(CLOCK_MONOTONIC) - due_at > STALLED_S)
            due_at = read_clock(CLOCK_MONOTONIC);
        pthread_mutex_lock(&all->lock);
        for (int number = slot; number < all->capacity; number += SLOTS)
            if (all->callers[number].talks)
                beat(all, &all->callers[number], due_at);
        pthread_mutex_unlock(&all->lock);
    }
    return NULL;
}

/* What callers.py calls. */

Callers *callers_new(int capacity, const uint8_t *script, int frames, int onset, int end, int marked, double stopped_s) {
    Callers *all = calloc(1, sizeof *all);
    size_t length = (size_t)frames * (FRAME - MARK);
    if (!all || !(all->callers = calloc(capacity, sizeof *all->callers)) || !(all->script = malloc(length)))
        return NULL;
    memcpy(all->script, script, length);
    *all = (Callers){.callers = all->callers, .capacity = capacity, .script = all->script, .frames = frames,
                     .onset = onset, .end = end, .marked = marked, .stopped_s = stopped_s};
    for (int number = 0; number < capacity; number++)
        all->callers[number].rtp = all->callers[number].rtcp = -1;
    all->wall_offset = read_clock(CLOCK_REALTIME) - read_clock(CLOCK_MONOTONIC);
    pthread_mutex_init(&all->lock, NULL);
    return all;
}

int callers_start(Callers *all) {
    int reason = pthread_create(&all->thread, NULL, run, all);
    all->runs = !reason;
    return reason;
}

/* Forget what was counted so far. */
void callers_begin(Callers *all) {
    pthread_mutex_lock(&all->lock);
    all->wall_offset = read_clock(CLOCK_REALTIME) - read_clock(CLOCK_MONOTONIC);
    for (int number = 0; number < all->capacity; number++)
        if (all->callers[number].rtp >= 0) {
            receive_all(all, &all->callers[number]);
            forget(&all->callers[number].counts);
        }
    pthread_mutex_unlock(&all->lock);
}

static int open_socket(struct in_addr host, int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = host, .sin_port = htons(port)};
    int handle = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (handle >= 0 && bind(handle, (struct sockaddr *)&address, sizeof address) < 0) {
        int reason = errno;
        close(handle);
        errno = reason;
        return -1;
    }
    return handle;
}

static int port_of(int handle) {
    struct sockaddr_in address;
    socklen_t length = sizeof address;
    getsockname(handle, (struct sockaddr *)&address, &length);
    return ntohs(address.sin_port);
}

/* Open two ports side by side; return the first, or an error below zero. Nobody reads the second: it only spares the
 * other side ICMP errors. */
int caller_open(Callers *all, int number, const char *host, uint32_t ssrc) {
    struct in_addr address;
    int rtp = -1, rtcp = -1, on = 1;
    if (inet_pton(AF_INET, host, &address) != 1)
        return -EINVAL;
    for (int tries = 0; rtcp < 0 && tries < PAIR_TRIES; tries++) {
        if ((rtp = open_socket(address, 0)) < 0)
            return -errno;
        if ((rtcp = open_socket(address, port_of(rtp) + 1)) < 0)
            close(rtp);
    }
    if (rtcp < 0)
        return -EADDRINUSE;
    setsockopt(rtp, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on);
    pthread_mutex_lock(&all->lock);
    all->callers[number] = (Caller){.rtp = rtp, .rtcp = rtcp, .ssrc = ssrc, .timestamp = ssrc * 7, .sequence = ssrc,
                                    .onset_at = -1, .ended_at = -1};
    pthread_mutex_unlock(&all->lock);
    return port_of(rtp);
}

/* Begin to send, from a position in the script on. */
int caller_talk(Callers *all, int number, const char *host, int port, int position) {
    struct sockaddr_in remote = {.sin_family = AF_INET, .sin_port = htons(port)};
    if (inet_pton(AF_INET, host, &remote.sin_addr) != 1)
        return -EINVAL;
    pthread_mutex_lock(&all->lock);
    Caller *caller = &all->callers[number];
    caller->remote = caller->remote_rtcp = remote;
    caller->remote_rtcp.sin_port = htons(port + 1);
    caller->position = position;
    all->talking[number % SLOTS] += !caller->talks;
    caller->talks = 1;
    pthread_mutex_unlock(&all->lock);
    return 0;
}

/* Hand over what was counted, and begin anew; to be given back to counts_free. */
void caller_take(Callers *all, int number, Counts *counts) {
    pthread_mutex_lock(&all->lock);
    Caller *caller = &all->callers[number];
    if (caller->rtp >= 0)
        receive_all(all, caller);
    *counts = caller->counts;
    memset(&caller->counts, 0, sizeof caller->counts);
    pthread_mutex_unlock(&all->lock);
}

void counts_free(Counts *counts) { forget(counts); }

static void shut(Callers *all, int number) {
    Caller *caller = &all->callers[number];
    all->talking[number % SLOTS] -= caller->talks;
    if (caller->rtp >= 0) {
        close(caller->rtp);
        close(caller->rtcp);
    }
    forget(&caller->counts);
    caller->rtp = caller->rtcp = -1;
    caller->talks = 0;
}

/* Send no more, and close the ports. */
void caller_close(Callers *all, int number) {
    pthread_mutex_lock(&all->lock);
    shut(all, number);
    pthread_mutex_unlock(&all->lock);
}

/* Stop the thread, close everything. */
void callers_free(Callers *all) {
    all->stopping = 1;
    if (all->runs)
        pthread_join(all->thread, NULL);
    for (int number = 0; number < all->capacity; number++)
        shut(all, number);
    pthread_mutex_destroy(&all->lock);
    free(all->callers);
    free(all->script);
    free(all);
}
