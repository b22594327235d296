#include <cstdio>
int main(int, char** argv) {
  int before = EOF;
  for (int byte; (byte = getchar()) != EOF; before = byte) if (before != EOF || argv[1][0] == 'd') putchar(argv[1][0] == 'd' ? byte : before);
}
