package dev.adapt.formats.single;

import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.formats.FormatException;
import dev.adapt.formats.adapter.Adapter;
import dev.adapt.formats.adapter.Methods;
import dev.adapt.formats.io.JsonDocument;
import dev.adapt.formats.method.AdapterConfig;
import dev.adapt.formats.method.AdapterMethod;
import dev.adapt.formats.method.ModuleNumbers;
import dev.adapt.formats.method.dense.Lokr;
import dev.adapt.formats.safetensors.SafetensorsFile;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;
import dev.adapt.formats.tensor.Tensor;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.SequencedMap;
import java.util.TreeMap;
import java.util.stream.LongStream;
import java.util.stream.Stream;

/** Makes a PEFT adapter of those modules of a file that have one method. */
record KindOfAdapter(SafetensorsFile file, Entry.Kind kind, SingleFile.Weights weights) {
    /** An adapter of modules, by their names in the base. */
    Adapter of(SequencedMap<String, Entry> entries) {
        Map<String, Tensor> parts = new TreeMap<>();
        SequencedMap<String, Integer> ranks = new LinkedHashMap<>();
        SequencedMap<String, Double> alphas = new LinkedHashMap<>();
        Map<String, Lokr.Form> forms = new LinkedHashMap<>();
        DiffusersScale scale = DiffusersScale.of(file);
        entries.forEach((module, entry) -> {
            Optional<Shape> weight = weights.of(module);
            parts(entry, weight)
                    .forEach((role, tensor) -> parts.put(Adapter.MODULE_PREFIX + module + "." + role.part(), tensor));
            if (kind == Entry.Kind.LOKR) {
                forms.put(module, form(entry));
            }
            int rank = rank(entry);
            ranks.put(module, rank);
            alphas.put(module, entry.alpha(scale.alpha(entry.name(), rank)));
        });
        AdapterConfig config = new AdapterConfig(new JsonDocument(file.path(), config(ranks, alphas)));
        AdapterMethod method = Methods.of(config, Map.of());
        if (method instanceof Lokr lokr) {
            method = lokr.with(forms);
        }
        Map<String, String> metadata = new TreeMap<>(file.metadata());
        metadata.keySet().removeIf(key -> key.startsWith(SingleFile.MODULE));
        return new Adapter(
                file.path(),
                config,
                method,
                new LinkedHashSet<>(entries.sequencedKeySet()),
                parts,
                Map.of(),
                metadata,
                List.of());
    }

    private ObjectNode config(SequencedMap<String, Integer> ranks, SequencedMap<String, Double> alphas) {
        ObjectNode config = JsonNodeFactory.instance.objectNode();
        boolean lora = kind == Entry.Kind.LORA || kind == Entry.Kind.DORA;
        config.put("peft_type", lora ? "LORA" : kind == Entry.Kind.LOKR ? "LOKR" : "LOHA");
        SequencedMap<String, Double> own = new LinkedHashMap<>();
        ranks.forEach((module, rank) -> own.put(module, (double) rank));
        pattern(config, "r", "rank_pattern", own);
        pattern(config, lora ? "lora_alpha" : "alpha", "alpha_pattern", alphas);
        if (lora) {
            config.put("use_dora", kind == Entry.Kind.DORA);
        } else {
            config.put("use_effective_conv2d", kind == Entry.Kind.TUCKER_LOHA);
        }
        config.put("bias", "none");
        ranks.keySet().forEach(config.putArray("target_modules")::add);
        return config;
    }

    /** One number where all modules have it, else a pattern for each; longer names go first, as PEFT takes the first match. */
    private static void pattern(
            ObjectNode config, String field, String patternField, SequencedMap<String, Double> all) {
        ModuleNumbers.put(config, field, all.firstEntry().getValue());
        ObjectNode pattern = config.putObject(patternField);
        if (all.values().stream().distinct().count() > 1) {
            all.entrySet().stream()
                    .sorted(Comparator.comparingInt(entry -> -entry.getKey().length()))
                    .forEach(entry -> ModuleNumbers.put(pattern, entry.getKey(), entry.getValue()));
        }
    }

    private int rank(Entry entry) {
        return switch (kind) {
            case LORA, DORA -> entry.rank();
            case LOHA, TUCKER_LOHA -> rankOfProducts(entry);
            case LOKR -> Math.max(1, form(entry).rank());
        };
    }

    private int rankOfProducts(Entry entry) {
        long rank = entry.shape(TensorRole.HADA_W1_B).dim(0);
        if (entry.shape(TensorRole.HADA_W2_B).dim(0) != rank) {
            throw new FormatException(
                    file.path(),
                    entry.name(),
                    "has two products of different ranks, which no LoHa has; get the file again");
        }
        return Math.toIntExact(rank);
    }

    private Map<TensorRole, Tensor> parts(Entry entry, Optional<Shape> weight) {
        return switch (kind) {
            case LORA -> lora(entry, weight);
            case DORA -> {
                Map<TensorRole, Tensor> parts = lora(entry, weight);
                parts.put(TensorRole.MAGNITUDE, magnitude(entry, weight));
                yield parts;
            }
            case LOHA, TUCKER_LOHA, LOKR -> {
                Map<TensorRole, Tensor> parts = new LinkedHashMap<>();
                entry.tensors().keySet().stream()
                        .filter(role -> role != TensorRole.ALPHA)
                        .forEach(role -> parts.put(role, flat(entry, role)));
                yield parts;
            }
        };
    }

    /** LyCORIS keeps a kernel in the second factor of a product where PEFT keeps its rows. */
    private static Tensor flat(Entry entry, TensorRole role) {
        Tensor tensor = entry.tensor(role);
        boolean factor = role == TensorRole.LOKR_W2_B || role == TensorRole.HADA_W1_B || role == TensorRole.HADA_W2_B;
        Shape shape = tensor.shape();
        return factor && shape.rank() > 2
                ? reshaped(tensor, Shape.of(shape.dim(0), shape.elements() / shape.dim(0)))
                : tensor;
    }

    /** Factors in the layout of the base's weight: matrices for a linear layer, kernels for a convolution. */
    private Map<TensorRole, Tensor> lora(Entry entry, Optional<Shape> weight) {
        Tensor down = entry.has(TensorRole.MID) ? entry.down() : entry.tensor(TensorRole.DOWN);
        Tensor up = entry.tensor(TensorRole.UP);
        int axes = weight.map(Shape::rank)
                .orElse(isPoint(down.shape()) ? 2 : down.shape().rank());
        Map<TensorRole, Tensor> parts = new LinkedHashMap<>();
        parts.put(TensorRole.DOWN, inAxes(down, axes));
        parts.put(TensorRole.UP, inAxes(up, axes));
        if (up.shape().rank() < 2 || up.shape().dim(1) != entry.rank()) {
            throw new FormatException(
                    file.path(),
                    entry.name(),
                    "its lora_down " + down.shape() + " and lora_up " + up.shape() + " do not agree on a rank");
        }
        return parts;
    }

    private static boolean isPoint(Shape shape) {
        return shape.dims().stream().skip(2).allMatch(dim -> dim == 1);
    }

    /** A matrix as a kernel of one element, or the other way round; other tensors as they are. */
    private static Tensor inAxes(Tensor tensor, int axes) {
        Shape shape = tensor.shape();
        if (shape.rank() == axes || shape.rank() < 2 || !isPoint(shape)) {
            return tensor;
        }
        long[] dims = LongStream.concat(
                        LongStream.of(shape.dim(0), shape.dim(1)),
                        LongStream.generate(() -> 1).limit(axes - 2L))
                .toArray();
        return reshaped(tensor, Shape.of(dims));
    }

    private static Tensor reshaped(Tensor tensor, Shape shape) {
        return new FloatTensor(shape, tensor.toFloats());
    }

    /** The norms of a weight's rows, in PEFT's layout. */
    private Tensor magnitude(Entry entry, Optional<Shape> weight) {
        Tensor stored = entry.tensor(TensorRole.MAGNITUDE);
        long out = entry.shape(TensorRole.UP).dim(0);
        Shape shape = stored.shape();
        boolean ofInputs = entry.view(TensorRole.MAGNITUDE).name().endsWith(TensorRole.MAGNITUDE.ending())
                && shape.rank() > 1
                && shape.dim(0) == 1
                && out > 1;
        if (ofInputs || shape.elements() != out) {
            throw new FormatException(
                    file.path(),
                    entry.name() + TensorRole.MAGNITUDE.ending(),
                    "has shape " + shape + ", expected [" + out
                            + ", 1]: the norm of each output's weights; norms of the"
                            + " inputs' weights, as LyCORIS had them once, are not merged");
        }
        int axes = weight.map(Shape::rank).orElse(2);
        Shape kernel = Shape.of(Stream.concat(
                        Stream.of(1L, out), Stream.generate(() -> 1L).limit(Math.max(0, axes - 2)))
                .mapToLong(Long::longValue)
                .toArray());
        return reshaped(stored, axes > 2 ? kernel : Shape.of(out));
    }

    private Lokr.Form form(Entry entry) {
        boolean wholeC = entry.has(TensorRole.LOKR_W1);
        boolean wholeD = entry.has(TensorRole.LOKR_W2);
        Shape c = wholeC ? matrix(entry, TensorRole.LOKR_W1) : matrix(entry, TensorRole.LOKR_W1_A);
        int columns = Math.toIntExact(
                wholeC ? c.dim(1) : matrix(entry, TensorRole.LOKR_W1_B).dim(1));
        return new Lokr.Form(
                Math.toIntExact(c.dim(0)),
                columns,
                wholeC ? 0 : Math.toIntExact(c.dim(1)),
                wholeD ? 0 : Math.toIntExact(entry.shape(TensorRole.LOKR_W2_B).dim(0)),
                entry.has(TensorRole.LOKR_T2));
    }

    private Shape matrix(Entry entry, TensorRole role) {
        Shape shape = entry.shape(role);
        if (shape.rank() != 2) {
            throw new FormatException(
                    file.path(), entry.name() + role.ending(), "has shape " + shape + ", expected a matrix");
        }
        return shape;
    }
}
