// kind: memory
// ends: timeout, memory, signal, error
#include <stdlib.h>
#include <string.h>
int main() {
    for (;;) {
        char *p = (char *)malloc(1 << 24);
        if (p) memset(p, 1, 1 << 24);
    }
}
