# cython: language_level=3
"""The file locks by which a process has a slot, and that they are not inherited over fork.

For _table.pyx alone: each module that cimports this would have its own count of forks.
"""


cdef extern from * nogil:
    """
    #ifndef _GNU_SOURCE
    #define _GNU_SOURCE
    #endif
    #include <fcntl.h>
    #include <unistd.h>

    static int shm_forks, shm_held[256];        /* slot files of this process, to be closed in its children */

    static void shm_forked(void)
    {
        shm_forks++;
        for (int i = 0; i < 256; i++)
            if (shm_held[i]) {
                close(shm_held[i] - 1);
                shm_held[i] = 0;
            }
    }

    static void shm_hold(int fd)
    {
        for (int i = 0; i < 256; i++)
            if (!shm_held[i]) {
                shm_held[i] = fd + 1;
                return;
            }
    }

    static void shm_let_go(int fd)
    {
        for (int i = 0; i < 256; i++)
            if (shm_held[i] == fd + 1)
                shm_held[i] = 0;
        close(fd);
    }

    static int shm_lock_byte(int fd, int at)
    {
        struct flock l;
        memset(&l, 0, sizeof l);
        l.l_type = F_WRLCK;
        l.l_whence = SEEK_SET;
        l.l_start = at;
        l.l_len = 1;
        return fcntl(fd, F_OFD_SETLK, &l) == 0 ? 0 : -errno;
    }
    """
    int shm_forks
    void shm_forked()
    void shm_hold(int)
    void shm_let_go(int)
    int shm_lock_byte(int, int)
    int pthread_atfork(void (*)(), void (*)(), void (*)())
    int EAGAIN, EACCES
