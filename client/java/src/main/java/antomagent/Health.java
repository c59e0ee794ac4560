package antomagent;

import java.util.List;
import java.util.Optional;

/**
 * State of the agent and of the profiles that this caller may use.
 *
 * @param state       {@code ready}, {@code locked}, {@code starting} or {@code failed}
 * @param reason      why it is not ready
 * @param profiles    unmodifiable; empty unless ready
 * @param isTruncated there are more profiles than are listed
 */
public record Health(String state, Optional<String> reason, List<Profile> profiles, boolean isTruncated) {
    /**
     * One profile.
     *
     * @param profile   {@code APP/sandbox} or {@code APP/live}
     * @param sign      {@code ready}, or the name of the status that a request to sign would get
     * @param signWhy   a sentence for people, when it is not ready
     * @param verify    {@code ready}, or the name of the status that a verification would get
     * @param verifyWhy a sentence for people, when it is not ready
     */
    public record Profile(String profile, String sign, Optional<String> signWhy, String verify, Optional<String> verifyWhy) {
    }
}
