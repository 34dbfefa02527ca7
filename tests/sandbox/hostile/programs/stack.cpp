// kind: memory
// ends: signal, memory
#include <stdio.h>
volatile char sink;
int deeper(int n) { volatile char room[4096]; room[0] = n; sink = room[0]; return deeper(n + 1) + room[0]; }
int main() { printf("%d", deeper(0)); }
