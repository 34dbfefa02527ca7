// kind: memory
// ends: timeout, memory, signal, error
// limits: wall_seconds=4
#include <stdlib.h>
#include <string.h>
int main() {
    for (;;) {
        char *p = (char *)malloc(1 << 24);
        if (p) memset(p, 1, 1 << 24);
    }
}
