/* commands: every command of antomctl, as data. */
#include "client/antomctl/ctl.h"
#include "client/antomctl/view.h"

#define ARGS(...) ((const struct ctl_arg[]){__VA_ARGS__, {.name = NULL}})
#define PROFILE                                                                                    \
    {                                                                                              \
        "APP/ENV", NULL, CTL_TEXT, true, "profile", "application and environment"                  \
    }
#define PROFILE_OPT                                                                                \
    {                                                                                              \
        "APP/ENV", NULL, CTL_TEXT, false, "profile", "only those of this profile"                  \
    }
#define APP                                                                                        \
    {                                                                                              \
        "NAME", NULL, CTL_TEXT, true, "app", "name of the application: a-z, 0-9, -"                \
    }
#define VERSION                                                                                    \
    {                                                                                              \
        "VERSION", NULL, CTL_UINT, true, "version", "as `list` shows it: 1, 2, 3"                  \
    }
#define DASHBOARD_ACCOUNT                                                                          \
    {                                                                                              \
        "--dashboard-account", "ADDRESS", CTL_TEXT, false, "dashboard_account",                    \
            "account at Antom's dashboard that it belongs to"                                      \
    }
#define KEY_VERSION(required)                                                                      \
    {                                                                                              \
        "--key-version", "N", CTL_UINT, (required), "key_version",                                 \
            "what the Signature header says as keyVersion (1 unless Antom told you otherwise)"     \
    }
#define KEYRING                                                                                    \
    {                                                                                              \
        "--keyring", "NAME", CTL_TEXT, false, "keyring", "where it lives (soft)"                   \
    }
#define FILE_IN(what)                                                                              \
    {                                                                                              \
        "--file", "PATH", CTL_TEXT, false, NULL, what                                              \
    }
#define PATH_GLOB                                                                                  \
    {                                                                                              \
        "--path", "GLOB", CTL_TEXTS, false, "paths",                                               \
            "path it covers (all): * stays inside a segment, ** crosses; may be repeated"          \
    }
#define BODY                                                                                       \
    {                                                                                              \
        "--body", "FILE|-", CTL_TEXT, true, NULL, "the bytes of the body; - is standard input"     \
    }
#define CHAIN                                                                                      \
    {                                                                                              \
        "CHAIN", NULL, CTL_TEXT, false, NULL, "a keyring's name: soft (all)"                       \
    }
#define METHOD_URI                                                                                 \
    {"METHOD", NULL, CTL_TEXT, true, "method", "HTTP method, capitals: POST"},                     \
    {                                                                                              \
        "URI", NULL, CTL_TEXT, true, "uri", "path and query, as on the request line"               \
    }
#define TRACE                                                                                      \
    {                                                                                              \
        "--trace", "TEXT", CTL_TEXT, false, "trace", "text that goes into the log and the record"  \
    }
#define CHANGE                                                                                     \
    {                                                                                              \
        "CHANGE", NULL, CTL_UINT, true, "change", "number, as `change list` shows it"              \
    }
#define REASON                                                                                     \
    {                                                                                              \
        "--reason", "TEXT", CTL_TEXT, false, "reason", "why; those concerned are mailed it"        \
    }
#define WHICH_KEY                                                                                  \
    {                                                                                              \
        "--key", "old|new", CTL_TEXT, true, "key", "under which of the two keys"                   \
    }
#define ANYWAY                                                                                     \
    {                                                                                              \
        "--anyway", NULL, CTL_FLAG, false, "anyway", "whatever the probes say; recorded"           \
    }
#define MERCHANT                                                                                   \
    {                                                                                              \
        "MERCHANT", NULL, CTL_TEXT, true, "merchant", "name: A-Z, a-z, 0-9, _, - and ."            \
    }
#define AUTHORIZATION_URL                                                                          \
    {                                                                                              \
        "--authorization-url", "URL", CTL_TEXT, false, "authorization_url",                        \
            "of an isv: what merchants open to authorise it"                                       \
    }
#define STAFF_UID                                                                                  \
    {                                                                                              \
        "--uid", "N", CTL_UINT, true, "uid", "user id on this host"                                \
    }
#define STAFF_MAIL                                                                                 \
    {                                                                                              \
        "--mail", "ADDRESS", CTL_TEXT, false, "mail", "their mailbox"                              \
    }
#define VERIFY_OPTIONS                                                                             \
    ARGS({"--header", "'NAME: VALUE'", CTL_TEXTS, false, NULL,                                     \
          "a header as it was received; may be repeated; none: the message is unsigned"},          \
         BODY,                                                                                     \
         {"--max-age-ms", "N", CTL_UINT, false, "max_age_ms",                                      \
          "how old it may be (the profile's setting); 0: any age"},                                \
         TRACE)

const struct ctl_arg ctl_global_options[] = {
    {"--home", "DIR", CTL_TEXT, false, NULL, "the agent's folder (or ANTOM_AGENT_HOME)"},
    {"--json", NULL, CTL_FLAG, false, NULL, "print one JSON object"},
    {"--help", NULL, CTL_FLAG, false, NULL, "what a command does, with an example"},
    {.name = NULL},
};

const struct ctl_command ctl_commands[] = {
    {
        .words = "init",
        .options = ARGS(
            {"--seal", "TYPE", CTL_TEXT, false, NULL,
             "what protects the root key: file (opens by itself), passphrase, credential, tpm"},
            {"--staff-uid", "N", CTL_UINT, false, NULL, "the first member of staff (your own uid)"},
            {"--passphrase-file", "PATH", CTL_TEXT, false, NULL,
             "where the passphrase stands; else standard input or the terminal"},
            {"--file", "PATH", CTL_TEXT, false, NULL, NULL}),
        .run = ctl_run_init,
        .render = ctl_render_init,
        .help = "Make the home of a new agent: configuration, root key, registry",
        .notes = "An agent.conf that is there stays, and says how a TPM is reached ([seal] tcti). "
                 "A tpm\n"
                 "seal asks for a recovery passphrase, for the day the TPM or its PCRs are others.",
        .example = "--home /srv/antom init --seal file",
    },
    {
        .words = "status",
        .options =
            ARGS({"--wait", "SECONDS", CTL_UINT, false, NULL, "wait until both sockets answer"}),
        .method = "status",
        .flags = CTL_SAFE,
        .run = ctl_run_status,
        .render = ctl_render_status,
        .help = "Show the agent, its parts, what each profile can do, and what needs you",
        .notes =
            "Exit status 4 when a person has to act, for monitors; with --wait it is 0 as soon as\n"
            "both sockets answer.",
        .example = "status --wait 30",
    },
    {
        .words = "doctor",
        .flags = CTL_SAFE,
        .run = ctl_run_doctor,
        .render = ctl_render_doctor,
        .help = "Look for what is wrong, and say what mends it",
        .notes = "Works without a running agent. Exit status 4 when something is wrong.",
        .example = "doctor",
    },
    {
        .words = "version",
        .run = ctl_run_version,
        .render = ctl_render_version,
        .help = "Show the versions of antomctl and of the agent",
        .example = "version",
    },
    {
        .words = "registry confirm",
        .options = ARGS({"--record-epoch", "N", CTL_UINT, true, "record_epoch",
                         "the epoch that the record knows, as status shows it"},
                        {"--reason", "TEXT", CTL_TEXT, true, "reason",
                         "why it is older: a restore, for instance"}),
        .method = "registry_confirm",
        .view = &ctl_view_confirmed,
        .help = "Confirm a registry that is older than the record; live profiles sign again",
        .example =
            "registry confirm --record-epoch 42 --reason 'restored from the backup of Monday'",
    },
    {
        .words = "lock",
        .method = "lock",
        .view = &ctl_view_state,
        .help = "Wipe root key and keys from memory: nothing is signed until unlock",
        .example = "lock",
    },
    {
        .words = "unlock",
        .options = ARGS({"--passphrase-file", "PATH", CTL_TEXT, false, NULL,
                         "where the passphrase stands; else standard input or the terminal"},
                        {"--file", "PATH", CTL_TEXT, false, NULL, NULL}),
        .method = "unlock",
        .flags = CTL_SLOW,
        .run = ctl_run_unlock,
        .view = &ctl_view_state,
        .help = "Open the root key's seal",
        .notes = "A tpm seal that does not open by itself opens by its recovery passphrase, which "
                 "is asked\n"
                 "for on a terminal, or read with --passphrase-file (- is standard input).",
        .example = "unlock",
    },
    {
        .words = "seal show",
        .method = "seal_show",
        .flags = CTL_SAFE | CTL_SLOW,
        .render = ctl_render_seal,
        .help = "What the root key is sealed with, and whether that opens by itself",
        .example = "seal show",
    },
    {
        .words = "seal change",
        .positionals =
            ARGS({"TYPE", NULL, CTL_TEXT, true, "type", "file, passphrase, credential or tpm"}),
        .options = ARGS({"--pcrs", "LIST", CTL_TEXT, false, "pcrs",
                         "tpm: PCRs that must not change, of the SHA-256 bank (7: Secure Boot)"},
                        {"--passphrase-file", "PATH", CTL_TEXT, false, NULL,
                         "where the passphrase stands (tpm: that of recovery); else standard input "
                         "or the terminal"},
                        {"--accept-file-seal", NULL, CTL_FLAG, false, "accept_file_seal",
                         "file, once something is launched"}),
        .method = "seal_change",
        .flags = CTL_SLOW,
        .run = ctl_run_seal_change,
        .render = ctl_render_seal,
        .help = "Seal the root key by something else; once an application is launched, by approval",
        .notes = "Nothing is encrypted anew. Copies of the old root.seal (in backups) still open "
                 "as before.\n"
                 "credential: the unit needs LoadCredentialEncrypted=antom-agent.seal:FILE with at "
                 "least\n"
                 "32 random bytes. tpm: the machine must be as it was; [seal] tcti says how it is "
                 "reached.",
        .example = "seal change tpm --pcrs 7",
    },
    {
        .words = "seal renew",
        .options = ARGS({"--pcrs", "LIST", CTL_TEXT, false, "pcrs",
                         "other PCRs than now, of the SHA-256 bank"}),
        .method = "seal_change",
        .flags = CTL_SLOW,
        .run = ctl_run_seal_renew,
        .render = ctl_render_seal,
        .help = "Bind a tpm seal to the PCRs as they are now, after an update of the firmware",
        .notes = "Its recovery passphrase stays. Once an application is launched, by approval.",
        .example = "seal renew",
    },
    {
        .words = "keyring list",
        .method = "keyring_list",
        .flags = CTL_SAFE,
        .view = &ctl_view_keyrings,
        .help =
            "List the keyrings: how they do, how fast they sign, where a token's PIN comes from",
        .example = "keyring list",
    },
    {
        .words = "keyring pin",
        .positionals = ARGS({"NAME", NULL, CTL_TEXT, true, "keyring", "keyring of type pkcs11"}),
        .options = ARGS(FILE_IN("its token's PIN; else standard input or the terminal")),
        .method = "keyring_pin",
        .flags = CTL_SLOW,
        .run = ctl_run_keyring_pin,
        .view = &ctl_view_keyring,
        .help = "Take the PIN of a keyring's token, sealed so that its keeper alone can open it",
        .notes = "For a keyring whose section has neither pin_file nor pin_credential. The PIN is "
                 "tried at\n"
                 "once, one single time; one that the token refuses is not kept.",
        .example = "keyring pin hsm1",
    },
    {
        .words = "app create",
        .positionals = ARGS(APP),
        .options = ARGS(
            {"--role", "merchant|acquirer|isv", CTL_TEXT, true, "role", "what we are to Antom"},
            {"--region", "CC", CTL_TEXT, true, "region", "two letters: SG; never changes"},
            {"--product", "TEXT", CTL_TEXT, true, "product", "the Antom product it uses"},
            {"--currency", "CCC", CTL_TEXT, true, "currency", "test currency: SGD"},
            {"--type", "TEXT", CTL_TEXT, false, "type", "type of the integration"},
            {"--scenario", "TEXT", CTL_TEXTS, false, "scenarios", "may be repeated"},
            {"--description", "TEXT", CTL_TEXT, false, "description", "for people"},
            DASHBOARD_ACCOUNT),
        .method = "app_create",
        .view = &ctl_view_app_made,
        .help = "Make an application with its sandbox and live profiles, both empty",
        .example = "app create shop --role merchant --region SG --product CASHIER_PAYMENT "
                   "--currency SGD",
    },
    {
        .words = "app set",
        .positionals = ARGS(APP),
        .options = ARGS({"--type", "TEXT", CTL_TEXT, false, "type", "type of the integration"},
                        {"--scenario", "TEXT", CTL_TEXTS, false, "scenarios",
                         "all scenarios from now on; may be repeated"},
                        {"--description", "TEXT", CTL_TEXT, false, "description", "for people"},
                        DASHBOARD_ACCOUNT, AUTHORIZATION_URL,
                        {"--role", "ROLE", CTL_TEXT, false, "role", NULL},
                        {"--region", "CC", CTL_TEXT, false, "region", NULL},
                        {"--product", "TEXT", CTL_TEXT, false, "product", NULL},
                        {"--currency", "CCC", CTL_TEXT, false, "currency", NULL}),
        .method = "app_set",
        .view = &ctl_view_app,
        .help = "Change what may change of an application; what is not given stays",
        .notes = "Role, business region, product and test currency stay as they are: Antom does "
                 "not let\n"
                 "them change.",
        .example = "app set shop --dashboard-account payments@example.com",
    },
    {
        .words = "app list",
        .method = "app_list",
        .flags = CTL_SAFE,
        .view = &ctl_view_apps,
        .help = "List the applications",
        .example = "app list",
    },
    {
        .words = "app show",
        .positionals = ARGS(APP),
        .method = "app_show",
        .flags = CTL_SAFE,
        .view = &ctl_view_app,
        .help = "Show an application and its profiles",
        .example = "app show shop",
    },
    {
        .words = "profile set",
        .positionals = ARGS(PROFILE),
        .options = ARGS(
            {"--client-id", "ID", CTL_TEXT, false, "client_id", "as Antom's dashboard shows it"},
            {"--gateway", "URL", CTL_TEXT, false, "gateway", "https://host, without a path"},
            {"--notify-url", "URL", CTL_TEXT, false, "notify_url",
             "where Antom sends notifications"},
            {"--response-max-age-ms", "N", CTL_UINT, false, "response_max_age_ms",
             "how old a response may be; 0: any age"},
            {"--cryptoperiod", "DAYS", CTL_UINT, false, "cryptoperiod_days",
             "how long a merchant key is to be used (365); reminders are mailed before its end"},
            {"--notification-max-age-ms", "N", CTL_UINT, false, "notification_max_age_ms",
             "how old a notification may be; 0: any age"},
            {"--isv-client-id", "ID", CTL_TEXT, false, "isv_client_id", "of an isv: its client id"},
            {"--isv-customer-id", "ID", CTL_TEXT, false, "isv_customer_id",
             "of an isv: its internal id"},
            {"--test-customer-id", "ID", CTL_TEXT, false, "test_customer_id",
             "of an isv: internal id of the test merchant"}),
        .method = "profile_set",
        .check = ctl_check_profile_set,
        .view = &ctl_view_profile,
        .help = "Change what is given, leave the rest",
        .example = "profile set shop/sandbox --client-id SANDBOX_5X00000000000001 "
                   "--gateway https://open-sea-global.alipay.com",
    },
    {
        .words = "profile show",
        .positionals = ARGS(PROFILE),
        .method = "profile_show",
        .flags = CTL_SAFE,
        .view = &ctl_view_profile,
        .help = "Show a profile and what it still lacks",
        .example = "profile show shop/sandbox",
    },
    {
        .words = "onboard",
        .positionals = ARGS(APP),
        .method = "onboard",
        .flags = CTL_SAFE,
        .render = ctl_render_onboard,
        .help = "What is done on the way to launch, what is missing, and what does it",
        .example = "onboard shop",
    },
    {
        .words = "app confirm",
        .positionals = ARGS(
            APP, {"WHAT", NULL, CTL_TEXT, true, "what", "reconciliation, acceptance or contract"}),
        .method = "onboard_confirm",
        .render = ctl_render_onboard,
        .help = "Say that something is done that only people can know; this stands in the record",
        .example = "app confirm shop contract",
    },
    {
        .words = "app launch",
        .positionals = ARGS(APP),
        .options = ARGS({"--skip-rehearsal", "REASON", CTL_TEXT, false, "skip_rehearsal",
                         "though the sandbox has not seen all three methods; recorded"},
                        {"--accept-file-seal", NULL, CTL_FLAG, false, "accept_file_seal",
                         "though the root key is sealed by a file on this host"}),
        .method = "app_launch",
        .view = &ctl_view_app,
        .help = "Ask for the launch: once approved, protected settings change by approval only",
        .notes = "Needs the confirmed contract, a complete live profile, the rehearsal in the "
                 "sandbox, and a\n"
                 "quorum whose people have verified mailboxes. A launch is never undone.",
        .example = "app launch shop",
    },
    {
        .words = "app remove",
        .positionals = ARGS(APP),
        .method = "app_remove",
        .view = &ctl_view_app,
        .help = "Remove an application with its profiles, keys, grants and merchants, for good",
        .notes =
            "Every key of it must be stopped before. Its private keys are wiped. An application\n"
            "of the same name that is made later goes on counting the versions of its keys.",
        .example = "app remove shop",
    },
    {
        .words = "sandbox set",
        .positionals = ARGS(APP),
        .options = ARGS({"--buyer-account", "TEXT", CTL_TEXT, false, "buyer_account",
                         "account of the buyer to try payments with"},
                        {"--merchant-account", "TEXT", CTL_TEXT, false, "merchant_account",
                         "the merchant's account"},
                        {"--password-file", "PATH|-", CTL_TEXT, false, NULL,
                         "file with the buyer's password, one line; - asks for it"}),
        .method = "sandbox_set",
        .run = ctl_run_sandbox_set,
        .view = &ctl_view_sandbox,
        .help = "Keep what Antom gave this application to try payments with",
        .notes = "The password is sealed; it is never an argument.",
        .example = "sandbox set shop --buyer-account buyer@example.com --password-file -",
    },
    {
        .words = "sandbox show",
        .positionals = ARGS(APP),
        .method = "sandbox_show",
        .flags = CTL_SAFE,
        .view = &ctl_view_sandbox,
        .help = "Show the sandbox accounts, not the password",
        .example = "sandbox show shop",
    },
    {
        .words = "sandbox password",
        .positionals = ARGS(APP),
        .method = "sandbox_password",
        .view = &ctl_view_sandbox_password,
        .help = "Show the buyer's password; this stands in the record",
        .example = "sandbox password shop",
    },
    {
        .words = "key generate",
        .positionals = ARGS(PROFILE),
        .options = ARGS(KEY_VERSION(false), KEYRING),
        .method = "key_generate",
        .flags = CTL_SLOW,
        .view = &ctl_view_key_made,
        .help = "Make a merchant key; the first of a profile signs at once, later ones are staged",
        .example = "key generate shop/sandbox",
    },
    {
        .words = "key import",
        .positionals = ARGS(PROFILE),
        .options = ARGS(KEY_VERSION(false), FILE_IN("the private key; else standard input"),
                        {"--passphrase-file", "PATH", CTL_TEXT, false, NULL,
                         "what an encrypted key opens with; else asked on the terminal"},
                        KEYRING),
        .method = "key_import",
        .flags = CTL_SLOW,
        .run = ctl_run_key_import,
        .view = &ctl_view_key_made,
        .help = "Take a merchant key that exists: PKCS#8 or PKCS#1, PEM, DER or bare base64",
        .example = "key import shop/sandbox --file merchant.pem",
    },
    {
        .words = "migrate scan",
        .positionals = ARGS({"PATH", NULL, CTL_TEXTS, true, NULL, "files and folders"}),
        .flags = CTL_SAFE,
        .run = ctl_run_migrate_scan,
        .render = ctl_render_migrate,
        .help = "Find RSA private keys that lie in files, and say which to import and rotate",
        .notes = "In configuration, environment files, sources, and archives of them: PEM, DER and "
                 "bare\n"
                 "base64. Nothing private is printed. What git keeps of deleted files is "
                 "compressed in a\n"
                 "form of its own and is not looked at, nor are PKCS#12 files and Java keystores.",
        .example = "migrate scan /etc/payment /srv/app",
    },
    {
        .words = "migrate import",
        .positionals = ARGS(PROFILE),
        .options = ARGS({"--file", "PATH", CTL_TEXT, true, NULL, "where it lies; an archive, too"},
                        {"--fingerprint", "HEX", CTL_TEXT, false, NULL,
                         "the beginning of its fingerprint, where several lie there"},
                        KEY_VERSION(false), KEYRING),
        .method = "key_import",
        .flags = CTL_SLOW,
        .run = ctl_run_migrate_import,
        .view = &ctl_view_key_made,
        .help = "Take a private key from where `migrate scan` found it",
        .notes = "The file stays as it is: delete the key there once the service signs through the "
                 "agent,\n"
                 "and rotate it, as whoever read the file has it.",
        .example = "migrate import shop/live --file /etc/payment/app.properties",
    },
    {
        .words = "key list",
        .positionals = ARGS(PROFILE),
        .method = "key_list",
        .flags = CTL_SAFE,
        .view = &ctl_view_keys,
        .help = "List the merchant keys of a profile",
        .example = "key list shop/sandbox",
    },
    {
        .words = "key show",
        .positionals = ARGS(PROFILE, VERSION),
        .method = "key_show",
        .flags = CTL_SAFE,
        .view = &ctl_view_key_shown,
        .help = "Show a merchant key and its public half",
        .example = "key show shop/sandbox 1",
    },
    {
        .words = "key export",
        .positionals = ARGS(PROFILE),
        .options = ARGS({"--version", "N", CTL_UINT, false, "version",
                         "the active key, or the only staged one"},
                        {"--pem", NULL, CTL_FLAG, false, "pem", "PEM instead of bare base64"}),
        .method = "key_export",
        .flags = CTL_SAFE,
        .render = ctl_render_key_export,
        .help = "Print a public key as Antom's dashboard takes it",
        .notes = "Only the key on standard output; its SHA-256 fingerprint on standard error.",
        .example = "key export shop/sandbox --pem",
    },
    {
        .words = "key activate",
        .positionals = ARGS(PROFILE, VERSION),
        .method = "key_activate",
        .view = &ctl_view_key,
        .help = "Make it the key that signs; the one before goes on waiting, one step from active",
        .example = "key activate shop/sandbox 2",
    },
    {
        .words = "key suspend",
        .positionals = ARGS(PROFILE, VERSION),
        .options = ARGS({"--reason", "TEXT", CTL_TEXT, false, "reason", "kept with the key"}),
        .method = "key_suspend",
        .view = &ctl_view_key,
        .help = "Stop a key at once",
        .example = "key suspend shop/sandbox 1 --reason 'seen in a log'",
    },
    {
        .words = "key compromise",
        .positionals = ARGS(PROFILE, VERSION),
        .method = "key_compromise",
        .flags = CTL_SLOW,
        .view = &ctl_view_key,
        .help = "Stop a key at once and mark it as known to others; it never signs again",
        .notes = "A successor is staged if there is none. In a launched profile the stop is at "
                 "once, and\n"
                 "the mark waits for approval.",
        .example = "key compromise shop/sandbox 1",
    },
    {
        .words = "key destroy",
        .positionals = ARGS(PROFILE, VERSION),
        .method = "key_destroy",
        .view = &ctl_view_key,
        .help = "Wipe the private half of a key that waited long enough, or is compromised",
        .example = "key destroy shop/sandbox 1",
    },
    {
        .words = "key resume",
        .positionals = ARGS(PROFILE, VERSION),
        .method = "key_resume",
        .view = &ctl_view_key,
        .help = "Let a suspended key go on in the state it was stopped in",
        .example = "key resume shop/sandbox 1",
    },
    {
        .words = "key set",
        .positionals = ARGS(PROFILE, VERSION),
        .options = ARGS(KEY_VERSION(true)),
        .method = "key_set",
        .view = &ctl_view_key,
        .help = "Set what the Signature header says as keyVersion",
        .example = "key set shop/sandbox 2 --key-version 2",
    },
    {
        .words = "antom-key add",
        .positionals = ARGS(PROFILE),
        .options =
            ARGS(FILE_IN("the public key; else standard input"),
                 {"--same-as-other-environment", NULL, CTL_FLAG, false, "same_as_other_environment",
                  "take it although the other environment has the same one"}),
        .method = "antom_key_add",
        .flags = CTL_SLOW,
        .run = ctl_run_antom_key_add,
        .view = &ctl_view_antom_key,
        .help = "Trust a public key of Antom; the one before goes on verifying for a while",
        .notes = "Of a launched profile it is staged: it verifies nothing before it is activated.",
        .example = "antom-key add shop/sandbox --file antom.pem",
    },
    {
        .words = "antom-key activate",
        .positionals = ARGS(PROFILE, VERSION),
        .method = "antom_key_activate",
        .view = &ctl_view_antom_key,
        .help = "Let a staged key of Antom verify; the one before goes on verifying for a while",
        .notes = "A key of a launched profile is staged when it is added. During a rotation it is\n"
                 "taken without this when it verifies an answer that the agent fetched itself.",
        .example = "antom-key activate shop/live 2",
    },
    {
        .words = "antom-key list",
        .positionals = ARGS(PROFILE_OPT),
        .method = "antom_key_list",
        .flags = CTL_SAFE,
        .view = &ctl_view_antom_keys,
        .help = "List the Antom keys",
        .example = "antom-key list shop/sandbox",
    },
    {
        .words = "antom-key revoke",
        .positionals = ARGS(PROFILE, VERSION),
        .method = "antom_key_revoke",
        .view = &ctl_view_antom_key,
        .help = "Stop trusting an Antom key, at once and for good",
        .example = "antom-key revoke shop/sandbox 1",
    },
    {
        .words = "fence add",
        .positionals = ARGS(PROFILE),
        .options = ARGS({"--path", "GLOB", CTL_TEXT, true, "path", "the path that is excepted"}),
        .method = "fence_add",
        .view = &ctl_view_fence,
        .help = "Except a path from the fence between sandbox and live",
        .example = "fence add shop/live --path '/ams/sandbox/api/v1/ping'",
    },
    {
        .words = "fence list",
        .positionals = ARGS(PROFILE_OPT),
        .method = "fence_list",
        .flags = CTL_SAFE,
        .view = &ctl_view_fences,
        .help = "List the exceptions from the fence",
        .example = "fence list",
    },
    {
        .words = "fence remove",
        .positionals = ARGS({"FENCE|APP/ENV", NULL, CTL_TEXT, true, NULL,
                             "number of the exception, or its profile, with --path"}),
        .options = ARGS({"--path", "GLOB", CTL_TEXT, false, NULL, "the path as it was added"}),
        .method = "fence_remove",
        .check = ctl_check_fence_remove,
        .run = ctl_run_fence_remove,
        .view = &ctl_view_fence,
        .help = "Take an exception from the fence away",
        .example = "fence remove shop/live --path '/ams/sandbox/api/v1/ping'",
    },
    {
        .words = "grant add",
        .positionals = ARGS(PROFILE),
        .options = ARGS(
            {"--uid", "N", CTL_UINT, false, "uid", "processes of this user,"},
            {"--gid", "N", CTL_UINT, false, "gid", "or of this group,"},
            {"--unit", "NAME", CTL_TEXT, false, "unit", "or of this systemd unit"},
            {"--ops", "sign,verify,explain", CTL_LIST, true, "ops", "what they may do"}, PATH_GLOB,
            {"--method", "GLOB", CTL_TEXTS, false, "methods",
             "HTTP method it covers (all); may be repeated"},
            {"--query", NULL, CTL_FLAG, false, "query", "signing a URI with a query, too"},
            {"--max-body", "BYTES", CTL_UINT, false, "max_body", "largest body (1 MiB)"},
            {"--merchant", "NAME", CTL_TEXTS, false, "merchants",
             "of an isv: signs for this merchant only, * allowed; may be repeated"},
            {"--rate", "N", CTL_UINT, false, "rate", "requests a second in all (any)"},
            {"--burst", "N", CTL_UINT, false, "burst", "and at once (as many as a second's)"}),
        .method = "grant_add",
        .check = ctl_check_grant_add,
        .view = &ctl_view_grant,
        .help = "Let a local user, group or unit sign or verify; everybody else may not",
        .example = "grant add shop/sandbox --uid 1000 --ops sign,verify "
                   "--path '/ams/api/v1/payments/**'",
    },
    {
        .words = "grant list",
        .positionals = ARGS(PROFILE_OPT),
        .method = "grant_list",
        .flags = CTL_SAFE,
        .view = &ctl_view_grants,
        .help = "List who may do what",
        .example = "grant list shop/sandbox",
    },
    {
        .words = "grant remove",
        .positionals = ARGS({"GRANT", NULL, CTL_UINT, true, "grant", "number, as `list` shows it"}),
        .method = "grant_remove",
        .view = &ctl_view_grant,
        .help = "Take a grant away",
        .example = "grant remove 3",
    },
    {
        .words = "rotate start",
        .positionals = ARGS(PROFILE),
        .options =
            ARGS(KEYRING, KEY_VERSION(false),
                 {"--version", "N", CTL_UINT, false, "version",
                  "take this staged key instead of making one"},
                 {"--arm", NULL, CTL_FLAG, false, "arm",
                  "cut over by itself when Antom accepts only the new key (as launched)"},
                 {"--no-arm", NULL, CTL_FLAG, false, "no_arm", "cut over by an officer only"},
                 {"--auto-rollback", NULL, CTL_FLAG, false, "auto_rollback",
                  "roll back by itself when Antom refuses signatures right after the cut-over"}),
        .flags = CTL_SLOW,
        .check = ctl_check_rotate_start,
        .run = ctl_run_rotate_start,
        .render = ctl_render_rotation,
        .help = "Replace the signing key: make a new one, and ask for the approval of the plan",
        .notes =
            "The approval covers every later step: cut-over, rollback, the end of the old key.\n"
            "The old key signs until the cut-over. Rehearse it on the sandbox profile first.",
        .example = "rotate start shop/live",
    },
    {
        .words = "rotate request",
        .positionals = ARGS(PROFILE),
        .method = "rotate_request",
        .render = ctl_render_rotation,
        .help = "Ask again for the approval of a plan that is prepared",
        .example = "rotate request shop/live",
    },
    {
        .words = "rotate status",
        .positionals = ARGS(PROFILE_OPT),
        .options = ARGS({"--all", NULL, CTL_FLAG, false, "all", "those that are over, too"}),
        .method = "rotate_status",
        .flags = CTL_SAFE,
        .render = ctl_render_rotations,
        .help = "Where a rotation stands, what it waits for, until when, who acts next, and how",
        .example = "rotate status shop/live",
    },
    {
        .words = "rotate submit",
        .positionals = ARGS(PROFILE),
        .options = ARGS(KEY_VERSION(false)),
        .method = "rotate_submit",
        .render = ctl_render_rotation,
        .help = "Say that Antom has been given the new public key; the agent begins to ask",
        .example = "rotate submit shop/live",
    },
    {
        .words = "rotate probe",
        .positionals = ARGS(PROFILE),
        .method = "rotate_probe",
        .flags = CTL_SLOW,
        .render = ctl_render_rotation,
        .help = "Ask Antom now whether it accepts the old key and the new one",
        .notes =
            "Without a network: `rotate call` prints the call, `rotate answer` takes what came\n"
            "back.",
        .example = "rotate probe shop/live",
    },
    {
        .words = "rotate activate",
        .positionals = ARGS(PROFILE),
        .options = ARGS(ANYWAY),
        .method = "rotate_activate",
        .flags = CTL_SLOW,
        .render = ctl_render_rotation,
        .help = "Cut over: the new key signs, the old one waits, one step from signing again",
        .example = "rotate activate shop/live",
    },
    {
        .words = "rotate rollback",
        .positionals = ARGS(PROFILE),
        .options = ARGS(ANYWAY, REASON),
        .method = "rotate_rollback",
        .flags = CTL_SLOW,
        .render = ctl_render_rotation,
        .help = "Let the old key sign again",
        .example = "rotate rollback shop/live --reason 'payments fail'",
    },
    {
        .words = "rotate cancel",
        .positionals = ARGS(PROFILE),
        .options = ARGS(REASON),
        .method = "rotate_cancel",
        .render = ctl_render_rotation,
        .help = "Give a rotation up before its cut-over; the old key goes on signing",
        .example = "rotate cancel shop/live --reason 'wrong keyring'",
    },
    {
        .words = "rotate call",
        .positionals = ARGS(PROFILE),
        .options = ARGS(WHICH_KEY),
        .method = "rotate_call",
        .flags = CTL_SLOW,
        .render = ctl_render_rotate_call,
        .help = "Print a signed call that asks Antom, for a host that can reach it",
        .example = "rotate call shop/live --key new",
    },
    {
        .words = "rotate answer",
        .positionals = ARGS(PROFILE),
        .options = ARGS(WHICH_KEY, FILE_IN("what `curl -i` printed; else standard input")),
        .method = "rotate_answer",
        .run = ctl_run_rotate_answer,
        .render = ctl_render_rotation,
        .help = "Take Antom's answer to such a call; it proves what its signature proves",
        .example = "rotate answer shop/live --key new --file answer.txt",
    },
    {
        .words = "merchant add",
        .positionals = ARGS(PROFILE, MERCHANT),
        .options = ARGS(FILE_IN("its authorization token; else standard input"),
                        {"--description", "TEXT", CTL_TEXT, false, "description", "for people"}),
        .method = "merchant_add",
        .run = ctl_run_merchant_token,
        .view = &ctl_view_merchant,
        .help = "Take a merchant's authorization token: requests can be signed for that merchant",
        .notes =
            "Of an isv. The token is never an argument, and is never shown again. In the sandbox,\n"
            "merchant test is the test merchant, with Antom's test token.",
        .example = "merchant add hub/sandbox test --file token.txt",
    },
    {
        .words = "merchant set",
        .positionals = ARGS(PROFILE, MERCHANT),
        .options = ARGS(FILE_IN("its new authorization token; else standard input")),
        .method = "merchant_set",
        .run = ctl_run_merchant_token,
        .view = &ctl_view_merchant,
        .help = "Give a merchant another authorization token",
        .example = "merchant set hub/sandbox test --file token.txt",
    },
    {
        .words = "merchant list",
        .positionals = ARGS(PROFILE),
        .method = "merchant_list",
        .run = ctl_run_merchant_list,
        .flags = CTL_SAFE,
        .view = &ctl_view_merchants,
        .help = "List the merchants of an isv, with counts and last use",
        .example = "merchant list hub/sandbox",
    },
    {
        .words = "merchant show",
        .positionals = ARGS(PROFILE, MERCHANT),
        .method = "merchant_show",
        .flags = CTL_SAFE,
        .view = &ctl_view_merchant,
        .help = "Show one merchant, never its token",
        .example = "merchant show hub/sandbox test",
    },
    {
        .words = "merchant suspend",
        .positionals = ARGS(PROFILE, MERCHANT),
        .method = "merchant_suspend",
        .view = &ctl_view_merchant,
        .help = "Sign nothing more for a merchant, at once",
        .example = "merchant suspend hub/sandbox test",
    },
    {
        .words = "merchant resume",
        .positionals = ARGS(PROFILE, MERCHANT),
        .method = "merchant_resume",
        .view = &ctl_view_merchant,
        .help = "Sign for a suspended merchant again",
        .example = "merchant resume hub/sandbox test",
    },
    {
        .words = "merchant remove",
        .positionals = ARGS(PROFILE, MERCHANT),
        .method = "merchant_remove",
        .view = &ctl_view_merchant,
        .help = "Forget a merchant and its token",
        .example = "merchant remove hub/sandbox test",
    },
    {
        .words = "merchant url",
        .positionals = ARGS(APP),
        .method = "merchant_url",
        .flags = CTL_SAFE,
        .view = &ctl_view_merchant_url,
        .help = "The authorization URL that merchants open; only after the launch",
        .example = "merchant url hub",
    },
    {
        .words = "staff add",
        .options = ARGS(STAFF_UID,
                        {"--role", "viewer|officer|approver", CTL_LIST, true, "roles",
                         "what they may do; may be repeated"},
                        STAFF_MAIL),
        .method = "staff_add",
        .view = &ctl_view_person,
        .help = "Enrol a person: viewers look, officers change and stop, approvers approve",
        .notes = "An approver needs a mailbox of their own.",
        .example = "staff add --uid 1001 --role officer --mail alice@example.com",
    },
    {
        .words = "staff list",
        .method = "staff_list",
        .flags = CTL_SAFE,
        .view = &ctl_view_staff,
        .help = "Who is enrolled, and for what",
        .example = "staff list",
    },
    {
        .words = "staff set",
        .options = ARGS(STAFF_UID,
                        {"--role", "viewer|officer|approver", CTL_LIST, false, "roles",
                         "all that they may do from now on; may be repeated"},
                        STAFF_MAIL),
        .method = "staff_set",
        .view = &ctl_view_person,
        .help = "Change a person's roles or mailbox; what is not given stays",
        .example = "staff set --uid 1001 --role officer --role approver",
    },
    {
        .words = "staff remove",
        .options = ARGS(STAFF_UID),
        .method = "staff_remove",
        .view = &ctl_view_person,
        .help = "Take a person's enrolment away, at once",
        .example = "staff remove --uid 1001",
    },
    {
        .words = "staff verify",
        .options = ARGS({"--again", NULL, CTL_FLAG, false, "again",
                         "though it is verified: an approver gets new recovery codes"},
                        {"--enter", NULL, CTL_FLAG, false, NULL,
                         "enter a code that was mailed before (terminal or standard input)"}),
        .run = ctl_run_staff_verify,
        .render = ctl_render_staff_verify,
        .help = "Confirm your own mailbox with a code that is mailed there",
        .notes =
            "Run it as yourself. The code is read without echo, or from standard input; it is\n"
            "never an argument. It holds for 15 minutes and takes five attempts.",
        .example = "staff verify",
    },
    {
        .words = "quorum set",
        .positionals = ARGS(PROFILE, {"QUORUM", NULL, CTL_TEXT, true, "quorum",
                                      "self, or how many approvers other than who asks"}),
        .method = "quorum_set",
        .view = &ctl_view_profile,
        .help = "Set who has to approve changes of a launched profile",
        .notes =
            "self: whoever asks for a change confirms it by his own mailbox, as Antom's own "
            "centre has it.\nThat does not answer a malicious member of staff; N approvers do.",
        .example = "quorum set shop/live 2",
    },
    {
        .words = "change list",
        .options = ARGS({"--all", NULL, CTL_FLAG, false, "all", "those that are over, too"}),
        .method = "change_list",
        .flags = CTL_SAFE,
        .view = &ctl_view_changes,
        .help = "Changes that wait for approval, for whom, and until when",
        .example = "change list",
    },
    {
        .words = "change show",
        .positionals = ARGS(CHANGE),
        .method = "change_show",
        .flags = CTL_SAFE,
        .render = ctl_render_change,
        .help = "What exactly a change alters, who asked for it, who has approved it",
        .example = "change show 7",
    },
    {
        .words = "change approve",
        .positionals = ARGS(CHANGE),
        .options = ARGS({"--enter", NULL, CTL_FLAG, false, NULL,
                         "enter a code that was mailed before (terminal or standard input)"},
                        {"--recovery", NULL, CTL_FLAG, false, NULL,
                         "with one of your recovery codes in place of a mailed one"},
                        {"--digest", "HEX", CTL_TEXT, false, NULL,
                         "only if its digest begins so: of the change as you saw it before"}),
        .flags = CTL_SLOW,
        .run = ctl_run_change_approve,
        .render = ctl_render_change_approve,
        .help = "Approve a change: it is shown, a code is mailed to you, and you type the code",
        .notes =
            "Run it as yourself. The code is read without echo, or from standard input; it is\n"
            "never an argument. With the last approval that is needed the change is applied.",
        .example = "change approve 7",
    },
    {
        .words = "change reject",
        .positionals = ARGS(CHANGE),
        .options = ARGS(REASON),
        .method = "change_reject",
        .render = ctl_render_change,
        .help = "Say no to a change, as an approver; it is over",
        .example = "change reject 7 --reason 'not this key'",
    },
    {
        .words = "change cancel",
        .positionals = ARGS(CHANGE),
        .options = ARGS(REASON),
        .method = "change_cancel",
        .render = ctl_render_change,
        .help = "Withdraw a change, as an officer; it is over",
        .example = "change cancel 7",
    },
    {
        .words = "mail list",
        .method = "mail_list",
        .flags = CTL_SAFE,
        .view = &ctl_view_mails,
        .help = "Mails that wait, and what became of those of the last week",
        .example = "mail list",
    },
    {
        .words = "sign",
        .positionals = ARGS(PROFILE, METHOD_URI),
        .options = ARGS(
            BODY, {"--time", "TEXT", CTL_TEXT, false, "time", "Request-Time (the agent's clock)"},
            {"--merchant", "ID", CTL_TEXT, false, "merchant",
             "for this merchant, with its Agent-Token"},
            TRACE),
        .flags = CTL_SAFE,
        .run = ctl_run_sign,
        .render = ctl_render_sign,
        .help = "Sign a request as a payment service would, and print its headers",
        .notes = "Needs a grant for your uid, as every caller does.",
        .example = "sign shop/sandbox POST /ams/api/v1/payments/pay --body pay.json",
    },
    {
        .words = "verify response",
        .positionals = ARGS(PROFILE, METHOD_URI),
        .options = VERIFY_OPTIONS,
        .flags = CTL_SAFE,
        .run = ctl_run_verify_response,
        .render = ctl_render_verify,
        .help = "Check that a response comes from Antom; METHOD and URI are the request's",
        .notes = "Exit status 5 when it is not proven. Needs a grant for your uid.",
        .example = "verify response shop/sandbox POST /ams/api/v1/payments/pay "
                   "--header 'client-id: ...' --header 'response-time: ...' "
                   "--header 'signature: ...' --body answer.json",
    },
    {
        .words = "verify notification",
        .positionals = ARGS(PROFILE, METHOD_URI),
        .options = VERIFY_OPTIONS,
        .flags = CTL_SAFE,
        .run = ctl_run_verify_notification,
        .render = ctl_render_verify,
        .help = "Check that a notification comes from Antom; URI is the raw target at our endpoint",
        .notes = "Exit status 5 when it is not proven. Needs a grant for your uid.",
        .example = "verify notification shop/sandbox POST /notify "
                   "--header 'client-id: ...' --header 'request-time: ...' "
                   "--header 'signature: ...' --body notice.json",
    },
    {
        .words = "explain sign",
        .positionals = ARGS(PROFILE, METHOD_URI),
        .options = ARGS(
            BODY, {"--time", "TEXT", CTL_TEXT, false, "time", "Request-Time (the agent's clock)"},
            {"--merchant", "ID", CTL_TEXT, false, "merchant",
             "for this merchant, with its Agent-Token"},
            TRACE),
        .flags = CTL_SAFE,
        .run = ctl_run_explain_sign,
        .render = ctl_render_explain,
        .help = "Show what exactly would be signed, and whether it would be",
        .notes = "Signs nothing. Needs a grant for explain. Exit status as sign would have.",
        .example = "explain sign shop/sandbox POST /ams/api/v1/payments/pay --body pay.json",
    },
    {
        .words = "explain response",
        .positionals = ARGS(PROFILE, METHOD_URI),
        .options = VERIFY_OPTIONS,
        .flags = CTL_SAFE,
        .run = ctl_run_explain_response,
        .render = ctl_render_explain,
        .help = "Find out why a response does not verify",
        .notes =
            "Tries the usual mistakes; what it finds stays unproven. Needs a grant for explain.",
        .example = "explain response shop/sandbox POST /ams/api/v1/payments/pay "
                   "--header 'client-id: ...' --header 'response-time: ...' "
                   "--header 'signature: ...' --body answer.json",
    },
    {
        .words = "explain notification",
        .positionals = ARGS(PROFILE, METHOD_URI),
        .options = VERIFY_OPTIONS,
        .flags = CTL_SAFE,
        .run = ctl_run_explain_notification,
        .render = ctl_render_explain,
        .help = "Find out why a notification does not verify",
        .notes =
            "Tries the usual mistakes; what it finds stays unproven. Needs a grant for explain.",
        .example = "explain notification shop/sandbox POST /notify "
                   "--header 'client-id: ...' --header 'request-time: ...' "
                   "--header 'signature: ...' --body notice.json",
    },
    {
        .words = "audit verify",
        .positionals = ARGS(CHAIN),
        .run = ctl_run_audit_verify,
        .render = ctl_render_audit_verify,
        .help = "Check the record: every line, every file, every checkpoint",
        .notes =
            "Reads the files; needs no running agent. Exit status 5 when something was changed.",
        .example = "audit verify",
    },
    {
        .words = "audit show",
        .positionals = ARGS(CHAIN),
        .options =
            ARGS({"--last", "N", CTL_UINT, false, NULL, "so many lines (20)"},
                 {"--type", "TYPE", CTL_TEXT, false, NULL,
                  "sign, outcome, deed, refused; or segment, checkpoint, rotate, head, known, all"},
                 {"--profile", "APP/ENV", CTL_TEXT, false, NULL, "only those of this profile"}),
        .run = ctl_run_audit_show,
        .render = ctl_render_audit_show,
        .help = "Show the last lines of the record",
        .notes = "Reads the files; needs no running agent.",
        .example = "audit show --type sign --last 5",
    },
    {
        .words = "audit find",
        .positionals =
            ARGS({"METHOD", NULL, CTL_TEXT, false, NULL, "HTTP method of a request: POST"},
                 {"URI", NULL, CTL_TEXT, false, NULL, "its path and query"}),
        .options =
            ARGS({"--client-id", "ID", CTL_TEXT, false, NULL, "its header Client-Id"},
                 {"--time", "TEXT", CTL_TEXT, false, NULL, "its header Request-Time"},
                 {"--body", "FILE|-", CTL_TEXT, false, NULL, "its body; - is standard input"},
                 {"--digest", "HEX", CTL_TEXT, false, NULL, "SHA-256 of the string to sign"},
                 {"--trace", "TEXT", CTL_TEXT, false, NULL, "what the caller gave as trace"},
                 {"--record", "CHAIN:SEQ", CTL_TEXT, false, NULL, "what the answer gave as record"},
                 {"--profile", "APP/ENV", CTL_TEXT, false, NULL, "only those of this profile"}),
        .run = ctl_run_audit_find,
        .render = ctl_render_audit_find,
        .help = "Did we sign this? Who, when, with which key",
        .notes = "Reads the files; needs no running agent. Exit status 4 when it is not there.",
        .example = "audit find POST /ams/api/v1/payments/pay --client-id 5X00000000000001 "
                   "--time 1700000000000 --body pay.json",
    },
    {.words = NULL},
};
