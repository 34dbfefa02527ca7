// kind: kernel
// ends: signal, ok, error
#include <stdio.h>
int main() {
    long result;
    __asm__ volatile("int $0x80" : "=a"(result) : "a"(20L) : "memory");  // getpid of the 32-bit table
    if (result > 0) puts("BREACH: 32-bit calls");
}
