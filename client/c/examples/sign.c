/* Signs a request and prints what to send.
 *   sign PROFILE METHOD URI < BODY */
#include <antag/client.h>
#include <stdio.h>

int main(int argc, char **argv)
{
    static uint8_t body[ANTAG_BODY_MAX];
    struct antag_sign_call call = {.deadline_ms = 2000};
    struct antag_client *client;
    struct antag_signed got;
    struct antag_fault fault;
    enum antag_err err;

    if (argc != 4) {
        fprintf(stderr, "usage: sign PROFILE METHOD URI < BODY\n");
        return 2;
    }
    call.profile = argv[1];
    call.method = argv[2];
    call.uri = argv[3];
    call.body = (struct antag_slice){body, fread(body, 1, sizeof body, stdin)};
    err = antag_client_open(NULL, &client, &fault); /* $ANTOM_AGENT_SOCKET, or the system's agent */
    if (err == ANTAG_OK) {
        err = antag_client_sign(client, &call, &got, &fault);
        antag_client_close(client);
    }
    if (err != ANTAG_OK) {
        fprintf(stderr, "%s: %s\n", antag_err_name(err), antag_fault_text(&fault));
        return antag_err_exit(err);
    }
    printf("%s %s\nClient-Id: %s\nRequest-Time: %s\nSignature: %s\nContent-Type: %s\n", argv[2],
           got.uri, got.client_id, got.request_time, got.signature, got.content_type);
    return 0;
}
