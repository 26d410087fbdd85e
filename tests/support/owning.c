/* A library that makes a file when it is loaded: OWNED names the file. */

#include <fcntl.h>
#include <unistd.h>

__attribute__((constructor)) static void own(void) {
    int file = open(OWNED, O_WRONLY | O_CREAT, 0600);
    if (file >= 0) close(file);
}
