/* A web server in C that knows nothing of functions: it listens on $PORT and says hello. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void answer(int client) {
    char request[8192], name[64] = "world", body[128], response[512];
    size_t size = 0;
    while (size < sizeof request - 1) {
        ssize_t got = read(client, request + size, sizeof request - 1 - size);
        if (got <= 0) return;
        size += (size_t)got;
        request[size] = 0;
        if (strstr(request, "\r\n\r\n")) break;
    }
    request[strcspn(request, "\r\n")] = 0;
    const char *query = strstr(request, "?name=");
    if (query) sscanf(query, "?name=%63[A-Za-z]", name);
    int length = snprintf(body, sizeof body, "<h1>Hello %s from C</h1>", name);
    int total = snprintf(response, sizeof response,
                         "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", length, body);
    if (write(client, response, (size_t)total) < 0) perror("write");
}

int main(void) {
    const char *port = getenv("PORT");
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(port ? port : "8080"))};
    int listener = socket(AF_INET, SOCK_STREAM, 0), yes = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 64)) {
        perror("listen");
        return 1;
    }
    for (;;) {
        int client = accept(listener, NULL, NULL);
        if (client < 0) continue;
        answer(client);
        close(client);
    }
}
