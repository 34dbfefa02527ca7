"""The system call filter: what namespaces, mounts and resource limits leave open. It holds before the program starts.

Refused by class, each with its reason; numbers from the kernel's system call tables. A call newer than these tables does not exist
inside (ENOSYS), so that a new kernel opens nothing. Arguments behind pointers cannot be seen by a filter: where those would decide,
the whole call is refused, or answered as done (`0`) without being done. Optional interfaces answer ENOSYS, as an older kernel would:
libraries then take another way.
"""

from __future__ import annotations

import functools
import platform
import struct

_EPERM, _ENOMEM, _EINVAL, _ENOSYS, _EAFNOSUPPORT = 1, 12, 22, 38, 97
_DONE = 0  # the errno of a call that is answered as done

# name -> (x86_64, aarch64); None: the architecture has no such call
_Calls = dict[str, tuple[int | None, int | None]]

# Memory that no process maps and no quota bounds: files without a place, System V and POSIX objects, rings, queues, rules,
# pinned pages (one page that a pipe holds keeps its whole huge page, a page of the host's cache keeps its).
_HIDDEN_MEMORY: _Calls = {
    "memfd_create": (319, 279), "memfd_secret": (447, 447), "shmget": (29, 194), "msgget": (68, 186), "semget": (64, 190),
    "mq_open": (240, 180),
}  # fmt: skip
_HIDDEN_MEMORY_OPTIONAL: _Calls = {
    "vmsplice": (278, 75), "splice": (275, 76), "tee": (276, 77), "io_setup": (206, 0), "io_submit": (209, 2),
    "io_uring_enter": (426, 426), "io_uring_register": (427, 427), "remap_file_pages": (216, 234), "modify_ldt": (154, None),
    "landlock_create_ruleset": (444, 444), "landlock_add_rule": (445, 445), "landlock_restrict_self": (446, 446),
    "seccomp": (317, 277),
}  # fmt: skip
# What the host and other sandboxes do, seen through files that all of them use, and through the page cache.
_WATCHING: _Calls = {
    "inotify_init": (253, None), "inotify_init1": (294, 26), "inotify_add_watch": (254, 27), "fanotify_mark": (301, 263),
    "cachestat": (451, 451), "lookup_dcookie": (212, 18), "name_to_handle_at": (303, 264), "open_by_handle_at": (304, 265),
}  # fmt: skip
# Other processes (pid 1 may have the program's uid), the kernel's own tables, debugging.
_OTHERS: _Calls = {
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "pidfd_getfd": (438, 438),
    "process_madvise": (440, 440), "process_mrelease": (448, 448), "kcmp": (312, 272), "migrate_pages": (256, 238),
    "add_key": (248, 217), "request_key": (249, 218), "keyctl": (250, 219), "syslog": (103, 116), "bpf": (321, 280),
    "perf_event_open": (298, 241), "userfaultfd": (323, 282), "fanotify_init": (300, 262), "io_uring_setup": (425, 425),
    "lsm_set_self_attr": (460, 460),
}  # fmt: skip
# Namespaces and mounts.
_NAMESPACES: _Calls = {
    "unshare": (272, 97), "setns": (308, 268), "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51),
    "open_tree": (428, 428), "move_mount": (429, 429), "fsopen": (430, 430), "fsmount": (432, 432), "fspick": (433, 433),
    "fsconfig": (431, 431), "mount_setattr": (442, 442), "open_tree_attr": (467, 467),
}  # fmt: skip
# The machine: only for its administrator, but the kernel's code for it need not be reached at all.
_MACHINE: _Calls = {
    "reboot": (169, 142), "swapon": (167, 224), "swapoff": (168, 225), "acct": (163, 89), "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "kexec_load": (246, 104), "kexec_file_load": (320, 294), "init_module": (175, 105), "finit_module": (313, 273),
    "delete_module": (176, 106), "iopl": (172, None), "ioperm": (173, None), "settimeofday": (164, 170), "clock_settime": (227, 112),
    "clock_adjtime": (305, 266), "adjtimex": (159, 171), "sethostname": (170, 161), "setdomainname": (171, 162), "vhangup": (153, 58),
    "nfsservctl": (180, 42), "uselib": (134, None), "ustat": (136, None), "sysfs": (139, None), "_sysctl": (156, None),
    "personality": (135, 92), "mbind": (237, 235), "set_mempolicy": (238, 237), "move_pages": (279, 239),
    "set_mempolicy_home_node": (450, 450),
}  # fmt: skip
# Work for the whole machine, and locks, which others see and which the kernel keeps by the million: as if done. A program's files are
# its own, so that a lock on them keeps nobody out but its own children.
_AS_IF_DONE: _Calls = {"sync": (162, 81), "syncfs": (306, 267), "flock": (73, 32)}

_ERRNO_OF: tuple[tuple[_Calls, int], ...] = (
    (_HIDDEN_MEMORY, _EPERM), (_HIDDEN_MEMORY_OPTIONAL, _ENOSYS), (_WATCHING, _ENOSYS), (_OTHERS, _EPERM), (_NAMESPACES, _EPERM),
    (_MACHINE, _EPERM), (_AS_IF_DONE, _DONE),
)  # fmt: skip

_CLONE3 = 435  # its flags are behind a pointer; libc then falls back to clone
_CLONE, _SOCKET, _SOCKETPAIR, _SETSOCKOPT = (56, 220), (41, 198), (53, 199), (54, 208)
_FCNTL, _MMAP, _MADVISE, _PRCTL, _PRLIMIT = (72, 25), (9, 222), (28, 233), (157, 167), (302, 261)
_SETPRIORITY, _SIGACTION = (141, 140), (13, 134)
_OF_ANOTHER = {
    "sched_setscheduler": (144, 119),
    "sched_setparam": (142, 118),
    "sched_setattr": (314, 274),
}  # argument 0: whose
_LAST_CALL = 469  # file_setattr, Linux 6.17

_AF_UNIX = 1
_NEW_NAMESPACES = 0x7E020080  # every CLONE_NEW* flag
_HUGE_TLB = 0x40000  # the host's reserved pages, which no resident set shows
_MERGEABLE, _SET_SECCOMP, _SET_MEMORY_MERGE = 12, 22, 67
_LOCKS = (6, 7, 37, 38)  # F_SETLK, F_SETLKW, F_OFD_SETLK, F_OFD_SETLKW
_LEASE, _NOTIFY = 1024, 1026
_LAST_FCNTL = 1035  # F_GET_RW_HINT; those after it change files that all share
_SOCKET_FILTERS = (26, 50, 51, 52)
_CHILD = 17  # SIGCHLD

_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_LOAD, _EQUAL, _AT_LEAST, _ABOVE, _ANY, _RETURN = 0x20, 0x15, 0x35, 0x25, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16  # offsets in struct seccomp_data; the low half of an argument comes first
_MACHINES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}

_Line = tuple[int, int, int, int]


def refused() -> dict[str, tuple[int, int]]:
    """Calls that are refused whatever their arguments: name -> (number, errno) on this machine."""
    column = _MACHINES[platform.machine()][1]
    rows = ((name, numbers[column], errno) for calls, errno in _ERRNO_OF for name, numbers in calls.items())
    return {name: (number, errno) for name, number, errno in rows if number is not None}


@functools.cache
def program(children_always_counted: bool) -> bytes | None:
    """The filter, an array of struct sock_filter; None on a machine whose call numbers are not known here.

    Without `children_always_counted` (by a control group), children whose end is ignored would take their CPU time with them: then
    how SIGCHLD is treated cannot be changed. A program that does so is told that it is done; it learns of a child's end by wait.
    """
    if platform.machine() not in _MACHINES:
        return None
    architecture, column = _MACHINES[platform.machine()]
    lines: list[_Line] = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _KILL),  # 32-bit calls have other numbers
        (_LOAD, 0, 0, _NUMBER),
        (_AT_LEAST, 0, 1, 0x40000000),  # x32 calls too
        (_RETURN, 0, 0, _KILL),
        (_ABOVE, 0, 1, _LAST_CALL),
        (_RETURN, 0, 0, _ERRNO | _ENOSYS),
    ]
    for number, body in _by_argument(column, children_always_counted):
        lines += [(_EQUAL, 0, len(body) + 1, number), *body, (_RETURN, 0, 0, _ALLOW)]
    for number, errno in ((_CLONE3, _ENOSYS), *refused().values()):
        lines += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _ERRNO | errno)]
    lines.append((_RETURN, 0, 0, _ALLOW))
    return b"".join(struct.pack("=HBBI", *line) for line in lines)


def _by_argument(column: int, children_always_counted: bool) -> list[tuple[int, list[_Line]]]:
    """Calls whose arguments decide: number, and the lines that end with a refusal or run through."""
    refuse = _ERRNO | _EPERM
    rules = [
        (_CLONE[column], [_argument(0), (_ANY, 0, 1, _NEW_NAMESPACES), (_RETURN, 0, 0, refuse)]),
        (_MMAP[column], [_argument(3), (_ANY, 0, 1, _HUGE_TLB), (_RETURN, 0, 0, _ERRNO | _ENOMEM)]),
        (_MADVISE[column], _unless_equal(2, (_MERGEABLE,), _ERRNO | _EINVAL)),
        (_PRCTL[column], _unless_equal(0, (_SET_SECCOMP, _SET_MEMORY_MERGE), _ERRNO | _EINVAL)),
        (_FCNTL[column], [
            *_unless_equal(1, _LOCKS, _ERRNO | _DONE),
            *_unless_equal(1, (_LEASE, _NOTIFY), _ERRNO | _EINVAL),
            (_ABOVE, 0, 1, _LAST_FCNTL), (_RETURN, 0, 0, _ERRNO | _EINVAL),
        ]),
        (_SETSOCKOPT[column], _unless_equal(2, _SOCKET_FILTERS, refuse)),
        (_PRLIMIT[column], _only_zero(0, refuse)),
        (_SETPRIORITY[column], [*_only_zero(0, refuse), *_only_zero(1, refuse)]),
        *((numbers[column], _only_zero(0, refuse)) for numbers in _OF_ANOTHER.values()),
        *(
            (numbers[column], [_argument(0), (_EQUAL, 1, 0, _AF_UNIX), (_RETURN, 0, 0, _ERRNO | _EAFNOSUPPORT)])
            for numbers in (_SOCKET, _SOCKETPAIR)
        ),
    ]  # fmt: skip
    if not children_always_counted:
        done = (_RETURN, 0, 0, _ERRNO | _DONE)
        change = [
            _argument(1),
            (_EQUAL, 0, 2, 0),
            _argument(1, high=True),
            (_EQUAL, 1, 0, 0),
            done,
        ]  # not only a question
        rules.append((_SIGACTION[column], [_argument(0), (_EQUAL, 0, len(change), _CHILD), *change]))
    return rules


def _argument(number: int, high: bool = False) -> _Line:
    """Loads the low (or high) half of an argument: the kernel itself looks at no more of an int."""
    return (_LOAD, 0, 0, _ARGUMENTS + 8 * number + 4 * high)


def _unless_equal(number: int, values: tuple[int, ...], answer: int) -> list[_Line]:
    lines = [_argument(number)]
    for value in values:
        lines += [(_EQUAL, 0, 1, value), (_RETURN, 0, 0, answer)]
    return lines


def _only_zero(number: int, answer: int) -> list[_Line]:
    return [_argument(number), (_EQUAL, 1, 0, 0), (_RETURN, 0, 0, answer)]
