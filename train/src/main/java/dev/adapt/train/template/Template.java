package dev.adapt.train.template;

import dev.adapt.formats.FormatException;
import java.nio.file.Path;
import java.time.ZonedDateTime;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * A chat template: the subset of Jinja2 that templates on the hub use, set up as transformers does. A template is a
 * program by a stranger. It sees texts, numbers, booleans, lists and dicts, calls only the functions, filters, tests
 * and methods listed in this package, and ends within a budget of steps, depth and memory.
 */
public final class Template {
    private final Path file;
    private final List<Statement> statements;

    private Template(Path file, List<Statement> statements) {
        this.file = file;
        this.statements = statements;
    }

    /**
     * Reads a template.
     *
     * @param file where it stands, for messages
     * @throws FormatException if it is malformed, too large, or uses a block that is not supported
     */
    public static Template parse(Path file, String source) {
        try {
            return new Template(file, Parser.parse(source));
        } catch (TemplateFault fault) {
            throw fault(file, "parsed", fault);
        }
    }

    /**
     * Renders the template.
     *
     * @param values the names it knows; each a text, number, boolean, null, list, or map from text to such
     * @param now what {@code strftime_now} prints
     * @throws FormatException if the template fails, refuses the values, or exceeds its budget
     */
    public String render(Map<String, ? extends @Nullable Object> values, ZonedDateTime now) {
        Interpreter interpreter = new Interpreter();
        Scope globals = Scope.outermost();
        new Functions(interpreter.budget(), now).addTo(globals);
        Scope names = globals.inner();
        values.forEach((name, value) -> names.set(name, Value.of(value)));
        try {
            return interpreter.run(statements, names);
        } catch (TemplateFault fault) {
            throw fault(file, "rendered", fault);
        }
    }

    private static FormatException fault(Path file, String step, TemplateFault fault) {
        String place = fault.line().isPresent() ? ", at line " + fault.line().getAsInt() : "";
        return new FormatException(file, "its chat template cannot be " + step + place + ": " + fault.reason());
    }
}
