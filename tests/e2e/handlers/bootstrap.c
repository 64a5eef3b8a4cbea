/* A function in C without a library: speaks the Runtime API over a plain socket. Answers each event with its length. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

static char answer[1 << 20];

static int dial(void) {
    char host[64];
    const char *api = getenv("AWS_LAMBDA_RUNTIME_API"), *colon = strchr(api, ':');
    snprintf(host, sizeof host, "%.*s", (int)(colon - api), api);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(atoi(colon + 1))};
    inet_pton(AF_INET, host, &to.sin_addr);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(fd, (struct sockaddr *)&to, sizeof to)) { perror("connect"); exit(1); }
    return fd;
}

/* One request on a connection of its own; the whole answer, headers included, is left in `answer`. */
static void ask(const char *method, const char *path, const char *body) {
    char request[4096];
    int fd = dial(), size = 0, got;
    int length = snprintf(request, sizeof request, "%s %s HTTP/1.1\r\nHost: runtime\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n%s",
                          method, path, strlen(body), body);
    if (write(fd, request, length) != length) exit(1);
    while ((got = read(fd, answer + size, sizeof answer - 1 - size)) > 0) size += got;
    answer[size] = 0;
    close(fd);
}

int main(void) {
    for (;;) {
        char id[128] = "", path[256], body[64];
        ask("GET", "/2018-06-01/runtime/invocation/next", "");
        char *event = strstr(answer, "\r\n\r\n");
        for (char *line = answer; line && line < event; line = strstr(line, "\r\n") ? strstr(line, "\r\n") + 2 : NULL)
            if (!strncasecmp(line, "lambda-runtime-aws-request-id:", 30)) sscanf(line + 30, " %127[^\r]", id);
        printf("event of %zu bytes\n", strlen(event + 4));
        fflush(stdout);
        snprintf(path, sizeof path, "/2018-06-01/runtime/invocation/%s/response", id);
        snprintf(body, sizeof body, "{\"bytes\": %zu}", strlen(event + 4));
        ask("POST", path, body);
    }
}
