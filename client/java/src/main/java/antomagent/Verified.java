package antomagent;

/**
 * Proof that a message came from Antom.
 *
 * @param version version of the Antom key that verified it, as staff counts them
 * @param time    the message's time, as its header has it
 * @param ageMs   its age in milliseconds by the agent's clock; negative when the time lies a little ahead
 */
public record Verified(int version, String time, long ageMs) {
}
