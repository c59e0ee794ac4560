/* Verifies a notification that reached our endpoint. Exit status 0: proven to come from Antom.
 *   verify_notification PROFILE URI CLIENT_ID REQUEST_TIME SIGNATURE < BODY */
#include <antag/client.h>
#include <stdio.h>

int main(int argc, char **argv)
{
    static uint8_t body[ANTAG_BODY_MAX];
    struct antag_header headers[3];
    struct antag_verify_call call = {
        .method = "POST", .headers = headers, .header_count = 3, .max_age_ms = -1};
    struct antag_client *client;
    struct antag_verified got;
    struct antag_fault fault;
    enum antag_err err;

    if (argc != 6) {
        fprintf(stderr, "usage: verify_notification PROFILE URI CLIENT_ID REQUEST_TIME SIGNATURE "
                        "< BODY\n");
        return 2;
    }
    call.profile = argv[1];
    call.uri = argv[2];
    headers[0] = (struct antag_header){"client-id", argv[3]};
    headers[1] = (struct antag_header){"request-time", argv[4]};
    headers[2] = (struct antag_header){"signature", argv[5]};
    call.body = (struct antag_slice){body, fread(body, 1, sizeof body, stdin)};
    err = antag_client_open(NULL, &client, &fault);
    if (err == ANTAG_OK) {
        err = antag_client_verify_notification(client, &call, &got, &fault);
        antag_client_close(client);
    }
    if (err != ANTAG_OK || !got.verified) {
        fprintf(stderr, "do not trust it: %s: %s\n", antag_err_name(err), antag_fault_text(&fault));
        return antag_err_exit(err);
    }
    printf("signed by Antom with its key version %u, %lld ms ago\n", got.version,
           (long long)got.age_ms);
    return 0;
}
