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
import dev.adapt.merge.analysis.Spectrum;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.SequencedMap;
import java.util.Set;
import java.util.function.ToDoubleFunction;

/**
 * What {@code adapt analyze} found, as a folder: report.html, analysis.json, and each heat map as SVG and PNG.
 *
 * @param subtitle what was analysed
 * @param spectra of each layer's update
 * @param likenesses to another adapter; empty without one
 * @param png whether to write PNGs
 */
public record AnalysisReport(
        String subtitle,
        List<Conditioning.Conversions> conversions,
        List<Spectrum> spectra,
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
            for (Map.Entry<String, HeatMap> map : maps.entrySet()) {
                pending.text(map.getKey() + ".svg", map.getValue().svg());
                if (png) {
                    map.getValue().writePng(pending.path().resolve(map.getKey() + ".png"));
                }
            }
            pending.text(JSON, json().toPrettyString() + "\n");
            pending.text(HTML, new PageTemplate("report/analysis").page("adapt analyze: " + subtitle, this));
            pending.commit();
        }
    }

    private SequencedMap<String, HeatMap> maps() {
        SequencedMap<String, HeatMap> maps = new LinkedHashMap<>();
        for (Conditioning.Conversions own : conversions) {
            String file = own.stack().name().replace(".*", "").replaceAll("[^\\w.-]", "_");
            List<HeatMap> four = maps(own);
            maps.put(file + ".A", four.get(0));
            maps.put(file + ".A.random", four.get(1));
            maps.put(file + ".B", four.get(2));
            maps.put(file + ".B.random", four.get(3));
        }
        return maps;
    }

    /** The maps of a stack, which share one scale of colours. */
    static List<HeatMap> maps(Conditioning.Conversions own) {
        String name = shortened(own.stack().name());
        List<Similarities> all = List.of(own.toA(), own.randomA(), own.toB(), own.randomB());
        double smallest = all.stream().mapToDouble(Similarities::smallest).min().orElse(0);
        double largest = all.stream().mapToDouble(Similarities::largest).max().orElse(1);
        double power = Math.pow(10, Math.floor(Math.log10(Math.max(largest - smallest, 1e-3))));
        double bottom = Math.max(0, Math.floor(2 * smallest / power) / 2 * power);
        double top = Math.min(1, Math.ceil(2 * largest / power) / 2 * power);
        return List.of(
                map(name + ": W₀ to A", own.toA(), bottom, top),
                map(name + ": random, as W₀ to A", own.randomA(), bottom, top),
                map(name + ": W₀ to B", own.toB(), bottom, top),
                map(name + ": random, as W₀ to B", own.randomB(), bottom, top));
    }

    /** What follows the layer's number. */
    private static String shortened(String stack) {
        return stack.substring(stack.lastIndexOf("*.") < 0 ? 0 : stack.lastIndexOf("*.") + 2);
    }

    /** What the maps of a stack mean. */
    static List<String> meaning(Conditioning.Conversions own) {
        return List.of(meaning("A", own.toA(), own.randomA()), meaning("B", own.toB(), own.randomB()));
    }

    private static String meaning(String factor, Similarities found, Similarities random) {
        double share = (found.mean() - random.mean()) / (1 - random.mean());
        String words;
        if (found.mean() <= random.largest()) {
            words = "is at the level of random matrices: the layers do not convert W₀ in a common way";
        } else if (share > 0.9) {
            words = "is close to 1: one matrix could convert W₀ in all these layers";
        } else if (share > 0.5) {
            words = "is well above random matrices: the layers convert W₀ mostly in a common way";
        } else {
            words = "is above random matrices, and far from 1: the layers share a few directions";
        }
        return "W₀ to " + factor + ": the mean similarity of two layers, " + share(found.mean()) + " (random: "
                + share(random.mean()) + "), " + words + ".";
    }

    /** The layers with the largest and smallest update, in words. */
    String sizes() {
        Comparator<Spectrum> byRelative = Comparator.comparingDouble(Spectrum::relative);
        Spectrum largest = spectra.stream().max(byRelative).orElseThrow();
        Spectrum smallest = spectra.stream().min(byRelative).orElseThrow();
        return "‖ΔW‖/‖W‖ goes from " + percent(smallest.relative()) + " (" + smallest.module() + ") to "
                + percent(largest.relative()) + " (" + largest.module() + ").";
    }

    /** The layer's update against the largest of all, in percent. */
    String bar(Spectrum own) {
        double largest = spectra.stream().mapToDouble(Spectrum::relative).max().orElse(1);
        return String.format(Locale.ROOT, "%.1f", largest == 0 ? 0 : 100 * own.relative() / largest);
    }

    /** A bar of a drawn spectrum, of 120 by 24 pixels. */
    record Bar(String x, String y, String width, String height) {}

    static List<Bar> bars(Spectrum own) {
        double width = 120.0 / own.values().size();
        double largest = Math.max(own.values().getFirst(), Double.MIN_NORMAL);
        List<Bar> bars = new ArrayList<>();
        for (int i = 0; i < own.values().size(); i++) {
            double height = 24 * own.values().get(i) / largest;
            bars.add(new Bar(
                    HeatMap.pixels(i * width),
                    HeatMap.pixels(24 - height),
                    HeatMap.pixels(width * 0.85),
                    HeatMap.pixels(height)));
        }
        return bars;
    }

    static String percent(double share) {
        return String.format(Locale.ROOT, "%.2f%%", 100 * share);
    }

    static String figure(double value) {
        return String.format(Locale.ROOT, "%.3g", value);
    }

    private static HeatMap map(String title, Similarities found, double bottom, double top) {
        String note = String.format(
                Locale.ROOT, "φ of %d directions; mean without the diagonal %.4f", found.directions(), found.mean());
        return new HeatMap(
                title,
                "layer",
                found.layers().stream()
                        .map(module -> Stack.number(module).orElse(module))
                        .toList(),
                found.values(),
                bottom,
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
        StringBuilder text = new StringBuilder(table.toString());
        for (Conditioning.Conversions own : conversions) {
            text.append("\n").append(own.stack().name()).append("\n");
            meaning(own).forEach(sentence -> text.append("  ").append(sentence).append("\n"));
        }
        text.append("\n").append(sizes()).append("\n");
        return likenesses.isEmpty() ? text.toString() : text + "\n" + likenessText();
    }

    private String likenessText() {
        TextTable table = new TextTable("two adapters", "A", "random", "B", "random", "ΔW", "random");
        likenesses.forEach(own -> table.row(cells(own.module(), own).toArray()));
        return table.row(cells("mean", mean()).toArray()).toString();
    }

    Conditioning.Likeness mean() {
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

    static List<String> cells(String name, Conditioning.Likeness own) {
        return List.of(
                name,
                share(own.a()),
                share(own.randomA()),
                share(own.b()),
                share(own.randomB()),
                share(own.delta()),
                share(own.randomDelta()));
    }

    static String share(double value) {
        return String.format(Locale.ROOT, "%.4f", value);
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
        ArrayNode updates = root.putArray("updates");
        for (Spectrum own : spectra) {
            ObjectNode update = updates.addObject().put("layer", own.module());
            update.put("delta_norm_relative", own.relative());
            own.values().forEach(update.putArray("singular_values")::add);
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
