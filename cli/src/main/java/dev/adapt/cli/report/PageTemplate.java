package dev.adapt.cli.report;

import gg.jte.Content;
import gg.jte.ContentType;
import gg.jte.TemplateEngine;
import gg.jte.html.OwaspHtmlTemplateOutput;
import gg.jte.output.StringOutput;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.Objects;

/**
 * A template of {@code src/main/jte}, which the build turns into a class. What is filled in is escaped for its place in HTML.
 *
 * @param root the package of the classes; a folder of templates is a package below it
 * @param name the template's file below {@code src/main/jte}, without {@code .jte}; it has one parameter
 */
public record PageTemplate(String root, String name) {
    private static final String OURS = "dev.adapt.cli";

    public PageTemplate(String name) {
        this(OURS, name);
    }

    /** The template, filled in: a part of a page, or an SVG file. */
    public String fragment(Object model) {
        StringOutput output = new StringOutput();
        content(model).writeTo(new OwaspHtmlTemplateOutput(output));
        return output.toString();
    }

    /** A page that needs no other file, with the style that all pages share. */
    public String page(String title, Object model) throws IOException {
        StringOutput output = new StringOutput();
        engine(OURS)
                .render("report/page.jte", Map.of("title", title, "style", style(), "body", content(model)), output);
        return output.toString();
    }

    private Content content(Object model) {
        return output -> engine(root).render(name + ".jte", model, output);
    }

    private static TemplateEngine engine(String root) {
        return TemplateEngine.createPrecompiled(null, ContentType.Html, null, root);
    }

    private static String style() throws IOException {
        try (InputStream in = PageTemplate.class.getResourceAsStream("report.css")) {
            return new String(Objects.requireNonNull(in).readAllBytes(), StandardCharsets.UTF_8);
        }
    }
}
