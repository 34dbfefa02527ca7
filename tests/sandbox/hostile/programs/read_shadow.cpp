// kind: secrets
// ends: ok
#include <stdio.h>
int main() {
    const char *paths[] = {"/etc/shadow", "/proc/1/environ", "/proc/1/root/etc/shadow"};
    for (const char *path : paths) {
        FILE *file = fopen(path, "r");
        char line[4096];
        if (file && path[1] == 'e') puts("BREACH");
        while (file && fgets(line, sizeof line, file)) fputs(line, stdout);
    }
}
