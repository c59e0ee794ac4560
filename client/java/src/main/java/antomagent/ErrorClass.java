package antomagent;

import java.util.Locale;

/** What an error asks of its caller. */
public enum ErrorClass {
    /** Correct the request; the same one fails again. */
    CALLER,
    /** Ask security staff for a grant or an enrolment. */
    DENIED,
    /** Something must be configured or changed first; the message names it. */
    STATE,
    /** Do not trust the message: it is not proven to come from Antom. */
    VERIFY,
    /** It may succeed later. It was repeated once already where there was time for that. */
    RETRY,
    /** Look into the agent's log. Classes that this version does not know are taken for this one. */
    INTERNAL;

    private static final ErrorClass[] BY_HUNDREDS = {INTERNAL, CALLER, DENIED, STATE, VERIFY, RETRY};

    /** Of an error that gives its class as {@code text}; null: it gives none, and the code decides. */
    static ErrorClass of(String text, int code) {
        if (text == null) {
            int hundreds = code / 100;
            return hundreds > 0 && hundreds < BY_HUNDREDS.length ? BY_HUNDREDS[hundreds] : INTERNAL;
        }
        for (ErrorClass known : values()) {
            if (known.toString().equals(text)) {
                return known;
            }
        }
        return INTERNAL;
    }

    /** As the protocol writes it: {@code retry}. */
    @Override
    public String toString() {
        return name().toLowerCase(Locale.ROOT);
    }
}
