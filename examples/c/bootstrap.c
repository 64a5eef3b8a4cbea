/* A function in C without a library: speaks the Runtime API over plain sockets, one connection a request. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define MOST_BYTES (7 << 20)

static char *answer; /* status, headers and body of the last answer */

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static int dial(void) {
    char host[64];
    const char *api = getenv("AWS_LAMBDA_RUNTIME_API"), *colon = strchr(api, ':');
    snprintf(host, sizeof host, "%.*s", (int)(colon - api), api);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(colon + 1))};
    inet_pton(AF_INET, host, &to.sin_addr);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to)) fail("connect");
    return fd;
}

static void send_all(int fd, const char *data, size_t size) {
    for (ssize_t sent; size > 0; data += sent, size -= (size_t)sent)
        if ((sent = write(fd, data, size)) <= 0) fail("write");
}

/* Returns the answer's body; the headers stay before it in `answer`. */
static char *ask(const char *method, const char *path, const char *before, const char *body, const char *after) {
    char head[512];
    size_t length = strlen(before) + strlen(body) + strlen(after), size = 0;
    int fd = dial();
    snprintf(head, sizeof head, "%s /2018-06-01/runtime/invocation/%s HTTP/1.1\r\nHost: runtime\r\nConnection: close\r\n"
             "Content-Length: %zu\r\n\r\n", method, path, length);
    send_all(fd, head, strlen(head));
    send_all(fd, before, strlen(before));
    send_all(fd, body, strlen(body));
    send_all(fd, after, strlen(after));
    for (ssize_t got; (got = read(fd, answer + size, MOST_BYTES - 1 - size)) > 0;) size += (size_t)got;
    answer[size] = 0;
    close(fd);
    char *end = strstr(answer, "\r\n\r\n");
    if (end == NULL) fail("no answer");
    return end + 4;
}

int main(void) {
    if ((answer = malloc(MOST_BYTES)) == NULL) fail("malloc");
    for (;;) {
        char id[128] = "", path[192];
        char *event = ask("GET", "next", "", "", "");
        for (char *line = answer; line != NULL && line < event; line = strstr(line, "\r\n"), line = line ? line + 2 : NULL)
            if (!strncasecmp(line, "lambda-runtime-aws-request-id:", 30)) sscanf(line + 30, " %127[^\r]", id);
        printf("hello from C, request %s\n", id);
        fflush(stdout);
        snprintf(path, sizeof path, "%s/response", id);
        char *kept = strdup(event); /* the next answer overwrites it */
        if (kept == NULL) fail("strdup");
        ask("POST", path, "{\"language\": \"C\", \"event\": ", kept, "}");
        free(kept);
    }
}
