#include <cstdio>
int main() {
  for (int byte; (byte = getchar()) != EOF;) putchar(byte);
}
