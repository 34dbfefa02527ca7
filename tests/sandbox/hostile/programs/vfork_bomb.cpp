// kind: processes
// ends: timeout, ok, signal, error
#include <unistd.h>
#include <stdio.h>
int main() {
    for (;;) {
        pid_t pid = fork();
        if (pid < 0) usleep(1000);
    }
}
