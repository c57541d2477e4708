package dev.adapt.cli.report;

import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.Objects;

/**
 * A report of one file that needs nothing else.
 *
 * @param template a resource beside this class, with {@code {{name}}} where a part belongs and {@code {{style}}} for the style
 *     that all reports share
 */
public record HtmlPage(String template) {
    /** The page with its parts, which are HTML. */
    public String with(Map<String, String> parts) throws IOException {
        String page = resource(template).replace("{{style}}", resource("report.css"));
        for (Map.Entry<String, String> part : parts.entrySet()) {
            page = page.replace("{{" + part.getKey() + "}}", part.getValue());
        }
        return page;
    }

    private static String resource(String name) throws IOException {
        try (InputStream in = HtmlPage.class.getResourceAsStream(name)) {
            return new String(Objects.requireNonNull(in).readAllBytes(), StandardCharsets.UTF_8);
        }
    }

    /** A text as HTML. */
    public static String escape(String text) {
        return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;");
    }
}
