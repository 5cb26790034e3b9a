// The module `vchan_socket`: Unix sockets for vchansocket.py, so that Qubes' own daemons can sit at the other end.
//
// Only the simulation has it. A socket has no event channel, so a thread waits for all of them (epoll, each armed for
// one event at a time) and sends an event to a port of our own; the loop wakes as it does for any peer.
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "py/runtime.h"

#include "ground.h"

static int epoll_file = -1;
static int thread_port; // its end of the channel to ourselves

static mp_obj_t fail(void) {
    mp_raise_OSError(errno);
}

static void *watch(void *unused) {
    struct epoll_event events[16];
    for (;;) {
        if (epoll_wait(epoll_file, events, 16, -1) > 0) {
            hv_evtchn_send(machine, self_domid, thread_port);
        }
    }
    return unused;
}

// enabled() -> bool: a folder for sockets was given.
static mp_obj_t socket_enabled(void) {
    return mp_obj_new_bool(getenv("VCHAN_SOCKET_DIR") != NULL);
}
static MP_DEFINE_CONST_FUN_OBJ_0(socket_enabled_obj, socket_enabled);

// port() -> the port that gets an event when something happens to a socket that is armed; 0 when asked again.
static mp_obj_t socket_port(void) {
    if (epoll_file >= 0) {
        return MP_OBJ_NEW_SMALL_INT(0);
    }
    int port = hv_evtchn_alloc(machine, self_domid, DOMID_SELF);
    thread_port = hv_evtchn_bind(machine, self_domid, DOMID_SELF, port);
    epoll_file = epoll_create1(EPOLL_CLOEXEC);
    pthread_t thread;
    if (port < 0 || thread_port < 0 || epoll_file < 0 || pthread_create(&thread, NULL, watch, NULL) != 0) {
        mp_raise_OSError(ENOSPC);
    }
    return MP_OBJ_NEW_SMALL_INT(port);
}
static MP_DEFINE_CONST_FUN_OBJ_0(socket_port_obj, socket_port);

// The address of a vchan. OSError ENAMETOOLONG.
static struct sockaddr_un address_of(const mp_obj_t *args) {
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int n = snprintf(address.sun_path, sizeof address.sun_path, "%s/vchan.%d.%d.%d.sock", getenv("VCHAN_SOCKET_DIR"),
        (int)mp_obj_get_int(args[0]), (int)mp_obj_get_int(args[1]), (int)mp_obj_get_int(args[2]));
    if (n >= (int)sizeof address.sun_path) {
        mp_raise_OSError(ENAMETOOLONG);
    }
    return address;
}

static mp_obj_t watched(int file) {
    struct epoll_event nothing = { .events = EPOLLONESHOT, .data.fd = file };
    epoll_ctl(epoll_file, EPOLL_CTL_ADD, file, &nothing);
    return MP_OBJ_NEW_SMALL_INT(file);
}

// listen(server, client, port) -> a socket on which accept() finds clients. OSError.
static mp_obj_t socket_listen(size_t n_args, const mp_obj_t *args) {
    struct sockaddr_un address = address_of(args);
    int file = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    unlink(address.sun_path); // of a server before us
    if (file < 0 || bind(file, (struct sockaddr *)&address, sizeof address) < 0 || listen(file, 1) < 0) {
        int error = errno;
        close(file);
        mp_raise_OSError(error);
    }
    return watched(file);
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(socket_listen_obj, 3, 3, socket_listen);

// connect(server, client, port) -> a socket; -1: nobody listens yet. OSError.
static mp_obj_t socket_connect(size_t n_args, const mp_obj_t *args) {
    struct sockaddr_un address = address_of(args);
    int file = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (file >= 0 && connect(file, (struct sockaddr *)&address, sizeof address) == 0) {
        return watched(file);
    }
    int error = errno;
    close(file);
    if (error != ENOENT && error != ECONNREFUSED && error != EAGAIN) { // EAGAIN: its queue is full
        mp_raise_OSError(error);
    }
    return MP_OBJ_NEW_SMALL_INT(-1);
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(socket_connect_obj, 3, 3, socket_connect);

// accept(listener) -> a client's socket; -1: none yet. OSError.
static mp_obj_t socket_accept(mp_obj_t listener) {
    int file = accept4(mp_obj_get_int(listener), NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (file < 0) {
        return errno == EAGAIN ? MP_OBJ_NEW_SMALL_INT(-1) : fail();
    }
    return watched(file);
}
static MP_DEFINE_CONST_FUN_OBJ_1(socket_accept_obj, socket_accept);

// arm(file, reading, writing): an event at the port when that becomes possible, or the peer leaves. Once.
static mp_obj_t socket_arm(mp_obj_t file_in, mp_obj_t reading, mp_obj_t writing) {
    int file = mp_obj_get_int(file_in);
    struct epoll_event event = { .events = EPOLLONESHOT | EPOLLRDHUP, .data.fd = file };
    event.events |= (mp_obj_is_true(reading) ? EPOLLIN : 0) | (mp_obj_is_true(writing) ? EPOLLOUT : 0);
    epoll_ctl(epoll_file, EPOLL_CTL_MOD, file, &event);
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_3(socket_arm_obj, socket_arm);

// ready(file) -> octets that can be read.
static mp_obj_t socket_ready(mp_obj_t file) {
    int octets = 0;
    ioctl(mp_obj_get_int(file), FIONREAD, &octets);
    return MP_OBJ_NEW_SMALL_INT(octets);
}
static MP_DEFINE_CONST_FUN_OBJ_1(socket_ready_obj, socket_ready);

static short poll_now(mp_obj_t file, short events) {
    struct pollfd one = { .fd = mp_obj_get_int(file), .events = events };
    return poll(&one, 1, 0) > 0 ? one.revents : 0;
}

// writable(file) -> bool: there is room for something.
static mp_obj_t socket_writable(mp_obj_t file) {
    return mp_obj_new_bool(poll_now(file, POLLOUT) & POLLOUT);
}
static MP_DEFINE_CONST_FUN_OBJ_1(socket_writable_obj, socket_writable);

// is_open(file) -> bool: the peer is there.
static mp_obj_t socket_is_open(mp_obj_t file) {
    return mp_obj_new_bool(!(poll_now(file, POLLRDHUP) & (POLLRDHUP | POLLHUP | POLLERR)));
}
static MP_DEFINE_CONST_FUN_OBJ_1(socket_is_open_obj, socket_is_open);

// take(file, octets) -> bytes, at most so many of those that are there.
static mp_obj_t socket_take(mp_obj_t file, mp_obj_t octets) {
    vstr_t out;
    vstr_init_len(&out, mp_obj_get_int(octets));
    ssize_t n = recv(mp_obj_get_int(file), out.buf, out.len, MSG_DONTWAIT);
    out.len = n < 0 ? 0 : n;
    return mp_obj_new_bytes_from_vstr(&out);
}
static MP_DEFINE_CONST_FUN_OBJ_2(socket_take_obj, socket_take);

// put(file, octets, start) -> how many of octets[start:] went. A peer that has left is no error; see is_open().
static mp_obj_t socket_put(mp_obj_t file, mp_obj_t octets, mp_obj_t start_in) {
    mp_buffer_info_t buffer;
    mp_get_buffer_raise(octets, &buffer, MP_BUFFER_READ);
    size_t start = mp_obj_get_int(start_in);
    ssize_t n = send(mp_obj_get_int(file), (char *)buffer.buf + start, buffer.len - start, MSG_DONTWAIT | MSG_NOSIGNAL);
    return MP_OBJ_NEW_SMALL_INT(n < 0 ? 0 : n);
}
static MP_DEFINE_CONST_FUN_OBJ_3(socket_put_obj, socket_put);

// close(file)
static mp_obj_t socket_close(mp_obj_t file) {
    close(mp_obj_get_int(file));
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_1(socket_close_obj, socket_close);

#define FUNCTION(name) { MP_ROM_QSTR(MP_QSTR_##name), MP_ROM_PTR(&socket_##name##_obj) }
static const mp_rom_map_elem_t socket_globals_table[] = {
    { MP_ROM_QSTR(MP_QSTR___name__), MP_ROM_QSTR(MP_QSTR_vchan_socket) },
    FUNCTION(enabled), FUNCTION(port),
    FUNCTION(listen), FUNCTION(connect), FUNCTION(accept), FUNCTION(close),
    FUNCTION(arm), FUNCTION(ready), FUNCTION(writable), FUNCTION(is_open),
    FUNCTION(take), FUNCTION(put),
};
static MP_DEFINE_CONST_DICT(socket_globals, socket_globals_table);
const mp_obj_module_t mp_module_vchan_socket = {
    .base = { &mp_type_module },
    .globals = (mp_obj_dict_t *)&socket_globals,
};
MP_REGISTER_MODULE(MP_QSTR_vchan_socket, mp_module_vchan_socket);
