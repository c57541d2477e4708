package dev.adapt.cli.report;

import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.cli.terminal.TextTable;
import dev.adapt.formats.io.OutputFolder;
import dev.adapt.formats.io.Outputs;
import dev.adapt.formats.method.Stack;
import dev.adapt.merge.analysis.Conditioning;
import dev.adapt.merge.analysis.Similarities;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.SequencedMap;
import java.util.Set;
import java.util.function.ToDoubleFunction;
import java.util.stream.Stream;

/**
 * What {@code adapt analyze} found, as a folder: report.html, analysis.json, and each heat map as SVG and PNG.
 *
 * @param subtitle what was analysed
 * @param likenesses to another adapter; empty without one
 * @param png whether to write PNGs
 */
public record AnalysisReport(
        String subtitle,
        List<Conditioning.Conversions> conversions,
        List<Conditioning.Likeness> likenesses,
        boolean png) {
    private static final String JSON = "analysis.json";
    private static final String HTML = "report.html";

    /** Writes the folder, whole or not at all. */
    public void write(Path folder, Outputs outputs) throws IOException {
        SequencedMap<String, HeatMap> maps = maps();
        Set<String> files = new HashSet<>(List.of(JSON, HTML));
        maps.keySet().forEach(name -> files.addAll(List.of(name + ".svg", name + ".png")));
        try (OutputFolder pending = outputs.folder(folder, files)) {
            List<String> drawn = new ArrayList<>();
            for (Map.Entry<String, HeatMap> map : maps.entrySet()) {
                drawn.add(map.getValue().svg());
                pending.text(map.getKey() + ".svg", drawn.getLast());
                if (png) {
                    map.getValue().writePng(pending.path().resolve(map.getKey() + ".png"));
                }
            }
            pending.text(JSON, json().toPrettyString() + "\n");
            pending.text(HTML, html(drawn));
            pending.commit();
        }
    }

    private SequencedMap<String, HeatMap> maps() {
        SequencedMap<String, HeatMap> maps = new LinkedHashMap<>();
        double top = top();
        for (Conditioning.Conversions own : conversions) {
            String name = own.stack().name();
            String file = name.replace(".*", "").replaceAll("[^\\w.-]", "_");
            maps.put(file + ".A", map(shortened(name) + ": W₀ to A", own.toA(), top));
            maps.put(file + ".A.random", map(shortened(name) + ": random in place of W₀ to A", own.randomA(), top));
            maps.put(file + ".B", map(shortened(name) + ": W₀ to B", own.toB(), top));
            maps.put(file + ".B.random", map(shortened(name) + ": random in place of W₀ to B", own.randomB(), top));
        }
        return maps;
    }

    /** What follows the layer's number. */
    private static String shortened(String stack) {
        return stack.substring(stack.lastIndexOf("*.") < 0 ? 0 : stack.lastIndexOf("*.") + 2);
    }

    /** The largest similarity of two layers, rounded up to half a digit. */
    private double top() {
        double largest = conversions.stream()
                .flatMap(own -> Stream.of(own.toA(), own.toB(), own.randomA(), own.randomB()))
                .mapToDouble(Similarities::largest)
                .max()
                .orElse(1);
        double power = Math.pow(10, Math.floor(Math.log10(Math.max(largest, 1e-3))));
        return Math.min(1, Math.ceil(2 * largest / power) / 2 * power);
    }

    private static HeatMap map(String title, Similarities found, double top) {
        String note = String.format(
                Locale.ROOT, "φ of %d directions; mean without the diagonal %.4f", found.directions(), found.mean());
        return new HeatMap(
                title,
                "layer",
                found.layers().stream()
                        .map(module -> Stack.number(module).orElse(module))
                        .toList(),
                found.values(),
                top,
                note);
    }

    /** The means, one stack a line. */
    public String text() {
        TextTable table = new TextTable("stack", "layers", "directions", "W₀ to A", "random", "W₀ to B", "random");
        for (Conditioning.Conversions own : conversions) {
            table.row(
                    own.stack().name(),
                    own.toA().layers().size(),
                    own.toA().directions(),
                    share(own.toA().mean()),
                    share(own.randomA().mean()),
                    share(own.toB().mean()),
                    share(own.randomB().mean()));
        }
        return likenesses.isEmpty() ? table.toString() : table + "\n" + likenessText();
    }

    private String likenessText() {
        TextTable table = new TextTable("two adapters", "A", "random", "B", "random", "ΔW", "random");
        likenesses.forEach(own -> table.row(cells(own.module(), own).toArray()));
        return table.row(cells("mean", mean()).toArray()).toString();
    }

    private Conditioning.Likeness mean() {
        return new Conditioning.Likeness(
                "mean",
                mean(Conditioning.Likeness::a),
                mean(Conditioning.Likeness::b),
                mean(Conditioning.Likeness::delta),
                mean(Conditioning.Likeness::randomA),
                mean(Conditioning.Likeness::randomB),
                mean(Conditioning.Likeness::randomDelta));
    }

    private double mean(ToDoubleFunction<Conditioning.Likeness> value) {
        return likenesses.stream().mapToDouble(value).average().orElse(Double.NaN);
    }

    private static List<String> cells(String name, Conditioning.Likeness own) {
        return List.of(
                name,
                share(own.a()),
                share(own.randomA()),
                share(own.b()),
                share(own.randomB()),
                share(own.delta()),
                share(own.randomDelta()));
    }

    private static String share(double value) {
        return String.format(Locale.ROOT, "%.4f", value);
    }

    private String html(List<String> drawn) throws IOException {
        return new HtmlPage("analysis.html")
                .with(Map.of(
                        "subtitle", HtmlPage.escape(subtitle),
                        "directions",
                                String.valueOf(conversions.getFirst().toA().directions()),
                        "means", means(),
                        "maps", cards(drawn),
                        "likeness", likenesses.isEmpty() ? "" : likeness()));
    }

    private String means() {
        List<List<String>> rows = new ArrayList<>();
        for (Conditioning.Conversions own : conversions) {
            rows.add(List.of(
                    own.stack().name(),
                    String.valueOf(own.toA().layers().size()),
                    share(own.toA().mean()),
                    share(own.randomA().mean()),
                    share(own.toB().mean()),
                    share(own.randomB().mean())));
        }
        return table(List.of("stack", "layers", "W₀ to A", "random", "W₀ to B", "random"), rows);
    }

    /** @param drawn the maps, in order, as many for each stack */
    private String cards(List<String> drawn) {
        StringBuilder html = new StringBuilder();
        int each = drawn.size() / conversions.size();
        for (int stack = 0; stack < conversions.size(); stack++) {
            html.append("<h2><code>")
                    .append(HtmlPage.escape(conversions.get(stack).stack().name()))
                    .append("</code></h2><div class=\"charts\">");
            drawn.subList(each * stack, each * (stack + 1))
                    .forEach(svg -> html.append("<div class=\"card paper\">")
                            .append(svg)
                            .append("</div>"));
            html.append("</div>");
        }
        return html.toString();
    }

    private String likeness() {
        List<List<String>> rows = new ArrayList<>();
        likenesses.forEach(own -> rows.add(cells(own.module(), own)));
        rows.add(cells("mean", mean()));
        return "<h2>How alike the two adapters are</h2><p>φ of the row spaces of A, and of the column spaces of B and of ΔW,"
                + " each beside φ of the first and a random matrix.</p><div class=\"card\">"
                + table(List.of("layer", "A", "random", "B", "random", "ΔW", "random"), rows) + "</div>";
    }

    private static String table(List<String> headings, List<List<String>> rows) {
        StringBuilder html = new StringBuilder("<table class=\"wide\"><tr>");
        for (int column = 0; column < headings.size(); column++) {
            html.append(cell("th", headings.get(column), column > 0));
        }
        for (List<String> row : rows) {
            html.append("</tr><tr>");
            for (int column = 0; column < row.size(); column++) {
                html.append(cell("td", row.get(column), column > 0));
            }
        }
        return html.append("</tr></table>").toString();
    }

    private static String cell(String tag, String text, boolean number) {
        return "<%s%s>%s</%s>".formatted(tag, number ? " class=\"n\"" : "", HtmlPage.escape(text), tag);
    }

    private ObjectNode json() {
        ObjectNode root = new JsonMapper().createObjectNode();
        ArrayNode stacks = root.putArray("stacks");
        for (Conditioning.Conversions own : conversions) {
            ObjectNode stack = stacks.addObject();
            stack.put("stack", own.stack().name());
            stack.put("directions", own.toA().directions());
            own.toA().layers().forEach(stack.putArray("layers")::add);
            describe(own.toA(), stack.putObject("w0_to_a"));
            describe(own.randomA(), stack.putObject("random_as_w0_to_a"));
            describe(own.toB(), stack.putObject("w0_to_b"));
            describe(own.randomB(), stack.putObject("random_as_w0_to_b"));
        }
        if (!likenesses.isEmpty()) {
            ArrayNode layers = root.putArray("likeness");
            likenesses.forEach(own -> describe(own, layers.addObject().put("layer", own.module())));
            describe(mean(), root.putObject("likeness_mean"));
        }
        return root;
    }

    private static void describe(Similarities found, ObjectNode node) {
        node.put("mean_without_diagonal", found.mean());
        ArrayNode rows = node.putArray("similarity");
        for (double[] row : found.values()) {
            ArrayNode cells = rows.addArray();
            for (double value : row) {
                cells.add(value);
            }
        }
    }

    private static void describe(Conditioning.Likeness own, ObjectNode node) {
        node.put("a", own.a());
        node.put("random_a", own.randomA());
        node.put("b", own.b());
        node.put("random_b", own.randomB());
        node.put("delta", own.delta());
        node.put("random_delta", own.randomDelta());
    }
}
