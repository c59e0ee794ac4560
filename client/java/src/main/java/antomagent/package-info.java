/**
 * Client of antom-agent: signs requests to Antom and verifies what Antom sends, without holding a key.
 *
 * <pre>{@code
 * try (AntomAgent agent = AntomAgent.create()) {
 *     Signed signed = agent.signRequest(SignRequest.of("shop/live", "POST", "/ams/api/v1/payments/pay", body));
 * }
 * }</pre>
 *
 * Everything that goes wrong is an {@link antomagent.AntomException}; a verification that returns has proven its message.
 * Arguments are never null unless it says so.
 */
package antomagent;
