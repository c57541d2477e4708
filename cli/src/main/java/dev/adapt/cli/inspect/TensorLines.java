package dev.adapt.cli.inspect;

import dev.adapt.cli.terminal.Bytes;
import dev.adapt.cli.terminal.TextTable;
import dev.adapt.formats.tensor.Shape;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.NavigableSet;
import java.util.TreeSet;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;

/**
 * A table of tensors in which those that differ only in the numbers of their layers share a line:
 * "model.layers.{0-21}.mlp.up_proj.weight". Only a group in which every combination of its numbers occurs is folded.
 */
final class TensorLines {
    /** A whole component of a name that is a number, written as a range of numbers would write it. */
    private static final Pattern NUMBER = Pattern.compile("(?<=^|[./])(?:0|[1-9]\\d{0,8})(?=$|[./])");

    /**
     * A tensor.
     *
     * @param dtype what the table calls its type
     * @param bytes -1 where the size is not known
     */
    record Line(String name, Shape shape, String dtype, long bytes) {}

    private record Kind(String pattern, Shape shape, String dtype) {}

    private final List<Line> lines = new ArrayList<>();

    void add(Line line) {
        lines.add(line);
    }

    /** The table, with a line for each tensor or for each group. */
    TextTable table(boolean each) {
        TextTable table = new TextTable("tensor", "shape", "dtype", "size", "");
        if (each) {
            lines.forEach(line -> table.row(line.name(), line.shape(), line.dtype(), size(line.bytes()), ""));
            return table;
        }
        Map<Kind, List<Line>> groups = new LinkedHashMap<>();
        for (Line line : lines) {
            String pattern = NUMBER.matcher(line.name()).replaceAll("{}");
            groups.computeIfAbsent(new Kind(pattern, line.shape(), line.dtype()), kind -> new ArrayList<>())
                    .add(line);
        }
        for (List<Line> group : groups.values()) {
            List<NavigableSet<Integer>> numbers = numbers(group);
            long combinations = numbers.stream().mapToLong(NavigableSet::size).reduce(1, (left, right) -> left * right);
            long names = group.stream().map(Line::name).distinct().count(); // an ONNX file may have one twice
            if (names == 1 || combinations != names || names != group.size()) {
                group.forEach(line -> table.row(line.name(), line.shape(), line.dtype(), size(line.bytes()), ""));
                continue;
            }
            Line first = group.getFirst();
            long bytes = first.bytes() < 0
                    ? -1
                    : group.stream().mapToLong(Line::bytes).sum();
            table.row(folded(first.name(), numbers), first.shape(), first.dtype(), size(bytes), "x " + group.size());
        }
        return table;
    }

    private static Object size(long bytes) {
        return bytes < 0 ? "–" : new Bytes(bytes);
    }

    /** The numbers that names of one pattern have, at each of its places. */
    private static List<NavigableSet<Integer>> numbers(List<Line> group) {
        List<NavigableSet<Integer>> numbers = new ArrayList<>();
        for (Line line : group) {
            int place = 0;
            for (Matcher found = NUMBER.matcher(line.name()); found.find(); place++) {
                if (place == numbers.size()) {
                    numbers.add(new TreeSet<>());
                }
                numbers.get(place).add(Integer.valueOf(found.group()));
            }
        }
        return numbers;
    }

    private static String folded(String name, List<NavigableSet<Integer>> numbers) {
        int[] place = {0};
        return NUMBER.matcher(name).replaceAll(found -> {
            NavigableSet<Integer> own = numbers.get(place[0]++);
            return own.size() == 1 ? found.group() : "{" + ranges(own) + "}";
        });
    }

    /** "0-21", or "0-2,5". */
    private static String ranges(NavigableSet<Integer> numbers) {
        List<int[]> ranges = new ArrayList<>();
        for (int number : numbers) {
            if (ranges.isEmpty() || ranges.getLast()[1] != number - 1) {
                ranges.add(new int[] {number, number});
            }
            ranges.getLast()[1] = number;
        }
        return ranges.stream()
                .map(range -> range[0] == range[1] ? "" + range[0] : range[0] + "-" + range[1])
                .collect(Collectors.joining(","));
    }
}
