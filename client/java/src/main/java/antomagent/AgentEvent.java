package antomagent;

import java.util.Map;

/**
 * What changed at the agent. Numbers in the params are {@code Long}.
 *
 * @param name   {@code epoch}, {@code profile}, {@code state}, {@code lagged} or {@code draining}
 * @param params unmodifiable; see PROTOCOL.md, {@code watch}
 */
public record AgentEvent(String name, Map<String, Object> params) {
}
