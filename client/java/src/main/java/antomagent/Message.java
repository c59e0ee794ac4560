package antomagent;

import java.util.Map;

/** What the agent says. */
sealed interface Message {
    /** The answer to request {@code id}; null: to none, but the reason why the connection ends. {@code error} null: a success. */
    record Answer(Integer id, AntomException error, Object result) implements Message {
    }

    /** An event of any name; {@code params} is null when they are no map. */
    record Event(String name, Map<String, Object> params) implements Message {
    }
}
