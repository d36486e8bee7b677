/* What is said where a program ends, for tests of it. */
#ifndef WINDLASS_SAID_H
#define WINDLASS_SAID_H

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../src/internal.h"

/* All that is said before the program is ended. */
static char *said(void (*does)(void)) {
    int ends[2];
    assert(pipe(ends) == 0);
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        does();
        _exit(0);
    }
    close(ends[1]);
    wl_buffer words = {0};
    wl_append(&words, "", 0);
    char part[1000];
    for (ssize_t more; (more = read(ends[0], part, sizeof part)) > 0;) wl_append(&words, part, (size_t)more);
    close(ends[0]);
    int status;
    assert(waitpid(child, &status, 0) == child && !(WIFEXITED(status) && WEXITSTATUS(status) == 0));
    return words.text;
}

/* The first line of it. */
static const char *last_words(void (*does)(void)) {
    char *words = said(does);
    words[strcspn(words, "\n")] = '\0';
    return words;
}

#endif
