// kind: processes
// ends: timeout, ok, signal, error
// limits: wall_seconds=4
#include <unistd.h>
#include <stdio.h>
int main() {
    for (;;) {
        pid_t pid = fork();
        if (pid < 0) usleep(1000);
    }
}
