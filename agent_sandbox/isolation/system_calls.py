"""Numbers of the system calls that the filter names, on x86-64 and on arm64.

Written off the kernel's own headers (`asm/unistd_64.h`, `asm-generic/unistd.h`). None: the
architecture does not have the call. From 424 on both architectures count alike.
"""

from __future__ import annotations

Numbers = dict[str, tuple[int | None, int | None]]

# fmt: off
DENIED: Numbers = {
    # reaches into another process
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271),
    "kcmp": (312, 272), "move_pages": (279, 239), "migrate_pages": (256, 238),
    "tkill": (200, 130), "rt_sigqueueinfo": (129, 138), "rt_tgsigqueueinfo": (297, 240),
    "setpriority": (141, 140), "sched_setscheduler": (144, 119), "sched_setparam": (142, 118),
    "sched_setattr": (314, 274), "ioprio_set": (251, 30),
    # leaves the session that is killed as one; becomes somebody else
    "setsid": (112, 157), "setpgid": (109, 154), "setuid": (105, 146), "setgid": (106, 144),
    "setreuid": (113, 145), "setregid": (114, 143), "setresuid": (117, 147),
    "setresgid": (119, 149), "setgroups": (116, 159), "setfsuid": (122, 151),
    "setfsgid": (123, 152), "capset": (126, 91), "personality": (135, 92),
    "seccomp": (317, 277),
    # many messages at once, which only name servers are sent
    "sendmmsg": (307, 269),
    # memory and queues that belong to no process
    "shmget": (29, 194), "shmat": (30, 196), "shmctl": (31, 195), "shmdt": (67, 197),
    "semget": (64, 190), "semop": (65, 193), "semctl": (66, 191), "semtimedop": (220, 192),
    "msgget": (68, 186), "msgsnd": (69, 189), "msgrcv": (70, 188), "msgctl": (71, 187),
    "mq_open": (240, 180), "mq_unlink": (241, 181), "mq_timedsend": (242, 182),
    "mq_timedreceive": (243, 183), "mq_notify": (244, 184), "mq_getsetattr": (245, 185),
    "add_key": (248, 217), "request_key": (249, 218), "keyctl": (250, 219),
    "remap_file_pages": (216, 234),
    # files by other ways than opening them
    "truncate": (76, 45), "mknod": (133, None), "mknodat": (259, 33),
    "name_to_handle_at": (303, 264), "open_by_handle_at": (304, 265),
    "setxattr": (188, 5), "lsetxattr": (189, 6), "fsetxattr": (190, 7),
    "removexattr": (197, 14), "lremovexattr": (198, 15), "fremovexattr": (199, 16),
    "fanotify_init": (300, 262), "fanotify_mark": (301, 263), "inotify_init": (253, None),
    "inotify_init1": (294, 26), "inotify_add_watch": (254, 27), "quotactl": (179, 60),
    # namespaces and mounts
    "unshare": (272, 97), "setns": (308, 268), "mount": (165, 40), "umount2": (166, 39),
    "pivot_root": (155, 41), "chroot": (161, 51),
    # large or rarely used parts of the kernel
    "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282),
    "io_setup": (206, 0), "io_destroy": (207, 1), "io_submit": (209, 2), "io_cancel": (210, 3),
    "io_getevents": (208, 4), "io_pgetevents": (333, 292), "lookup_dcookie": (212, 18),
    "uselib": (134, None), "sysfs": (139, None), "nfsservctl": (180, 42),
    "_sysctl": (156, None), "modify_ldt": (154, None),
    # the machine itself
    "init_module": (175, 105), "finit_module": (313, 273), "delete_module": (176, 106),
    "create_module": (174, None), "kexec_load": (246, 104), "kexec_file_load": (320, 294),
    "clock_settime": (227, 112), "settimeofday": (164, 170), "adjtimex": (159, 171),
    "clock_adjtime": (305, 266), "syslog": (103, 116), "acct": (163, 89), "swapon": (167, 224),
    "swapoff": (168, 225), "reboot": (169, 142), "sethostname": (170, 161),
    "setdomainname": (171, 162), "iopl": (172, None), "ioperm": (173, None),
    "vhangup": (153, 58),
}
"""Fail with EPERM."""

FOR_PROCESSES: Numbers = {
    "fork": (57, None), "vfork": (58, None), "execve": (59, 221), "execveat": (322, 281),
    "flock": (73, 32),
}
"""Fail with EPERM too, except in profile `train`: compilers need them."""

FOR_NETWORK: Numbers = {
    "bind": (49, 200), "connect": (42, 203), "listen": (50, 201), "accept": (43, 202),
    "accept4": (288, 242), "sendmsg": (46, 211),
}
"""Fail with EPERM too, except in a network of the workers' own: TCP needs them."""

WITHOUT_EFFECT: Numbers = {
    "chmod": (90, None), "fchmod": (91, 52), "fchmodat": (268, 53), "chown": (92, None),
    "fchown": (93, 55), "lchown": (94, None), "fchownat": (260, 54), "utime": (132, None),
    "utimes": (235, None), "utimensat": (280, 88), "futimesat": (261, None),
}
"""Succeed and do nothing: Landlock does not cover them, and honest tools give up when they fail."""

CONDITIONAL: Numbers = {
    "kill": (62, 129), "tgkill": (234, 131), "clone": (56, 220), "socketpair": (53, 199),
    "sendto": (44, 206), "ioctl": (16, 29), "fcntl": (72, 25), "prlimit64": (302, 261),
    "sched_setaffinity": (203, 122), "mmap": (9, 222), "prctl": (157, 167), "open": (2, None),
    "openat": (257, 56), "memfd_create": (319, 279), "socket": (41, 198), "setsockopt": (54, 208),
}
"""Judged by their arguments."""
# fmt: on

FIRST_COMMON = 424
"""From here on only the calls named below exist; all others fail with ENOSYS, also future ones."""
COMMON_ALLOWED = {
    "close_range": 436,
    "faccessat2": 439,
    "epoll_pwait2": 441,
    "futex_waitv": 449,
    "map_shadow_stack": 453,
    "futex_wake": 454,
    "futex_wait": 455,
    "futex_requeue": 456,
    "mseal": 462,
}
COMMON_WITHOUT_EFFECT = {"fchmodat2": 452}
