package dev.adapt.formats.onnx.export;

import dev.adapt.formats.UsageException;
import dev.adapt.formats.graph.Architecture;
import dev.adapt.formats.graph.InputSpec;
import dev.adapt.formats.graph.KeyValueCache;
import dev.adapt.formats.io.OutputFile;
import dev.adapt.formats.io.Outputs;
import dev.adapt.formats.model.Model;
import dev.adapt.formats.onnx.OnnxPrecision;
import dev.adapt.formats.onnx.OnnxTensor;
import dev.adapt.formats.onnx.proto.ModelProto;
import dev.adapt.formats.onnx.proto.OperatorSetIdProto;
import dev.adapt.formats.onnx.proto.TensorProto;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;

/**
 * A model written as ONNX: its forward pass as a graph, batch and sequence of any size.
 *
 * @param model the file written
 * @param data the file of weights written beside it, if there is one
 * @param opset the version of ONNX's operators that it needs
 * @param nodes how many nodes the graph has
 * @param adapterInputs how many inputs it has that adapters fill
 * @param weightBytes of the weights that the graph reads, wherever they lie
 */
public record OnnxExport(Path model, Optional<Path> data, int opset, int nodes, int adapterInputs, long weightBytes) {
    /** Where the weights of an exported model lie. */
    public enum Weights {
        /**
         * In the checkpoint's safetensors files, which the model points to and must stay beside. An adapter's own tensors
         * are embedded; matrices that an FP16 graph needs in another type go to {@code model.onnx_data}.
         */
        LINKED,
        /** In the model's file, or from 2 GB on in a file beside it, {@code model.onnx_data}. */
        OWN
    }

    private static final String TOKEN_TYPES = "token_type_ids";

    /** Shorter vectors are divided by this, as in PyTorch. */
    private static final double SHORTEST = 1e-12;

    /** Protobuf ends at 2 GiB; 64 MiB are room for the graph. */
    private static final long MAX_EMBEDDED = (1L << 31) - (1 << 26);

    /**
     * What the graph is to be.
     *
     * @param precision in which numbers it computes
     * @param adapterInputs whether the adapter's tensors become optional inputs, for a model of
     *     {@link AdapterInputs#model}
     * @param past whether it takes a decoder's keys and values of earlier tokens, and gives those of all
     * @param result what it gives; {@code adapterInputs} and {@code past} are for the model's own outputs
     * @param tokenTypes whether it takes token types, where the model has them; without, all are 0
     */
    public record Options(
            Weights weights,
            OnnxPrecision precision,
            boolean adapterInputs,
            boolean past,
            OnnxResult result,
            boolean tokenTypes) {
        public Options {
            if ((adapterInputs || past) && !(result instanceof OnnxResult.Own)) {
                throw new IllegalArgumentException("adapters and earlier keys belong to the model's own outputs");
            }
        }

        /** A graph of all the model's inputs, with its own outputs. */
        public Options(Weights weights, OnnxPrecision precision, boolean adapterInputs, boolean past) {
            this(weights, precision, adapterInputs, past, new OnnxResult.Own(), true);
        }

        /** A graph of the model's own inputs alone. */
        Options(Weights weights) {
            this(weights, OnnxPrecision.FP32, false, false);
        }
    }

    /**
     * Exports a model, and the adapter beside it if it has one.
     *
     * @param out the file to write; it must not exist
     * @throws UsageException if that name does not end with .onnx, or the weights are to be linked and do not lie in its
     *     folder or below, or past keys and values are wanted of a model that is no language model
     * @throws dev.adapt.formats.FormatException if a weight is not floating point, or too large for the precision
     */
    public static OnnxExport run(Model model, Path out, Options options) throws IOException {
        return run(model, out, options, Outputs.fresh());
    }

    /** The same, as one of a command's outputs. */
    public static OnnxExport run(Model model, Path out, Options options, Outputs outputs) throws IOException {
        try {
            return run(model, out, options, outputs, MAX_EMBEDDED);
        } catch (InternalError e) {
            throw outputs.explain(e);
        }
    }

    /** The same after the folder that it lies in was moved. */
    public OnnxExport in(Path before, Path after) {
        return new OnnxExport(
                after.resolve(before.relativize(model)),
                data.map(file -> after.resolve(before.relativize(file))),
                opset,
                nodes,
                adapterInputs,
                weightBytes);
    }

    /** Exports a model without further options. */
    public static OnnxExport run(Model model, Path out, Weights weights) throws IOException {
        return run(model, out, new Options(weights));
    }

    static OnnxExport run(Model whole, Path out, Options options, Outputs outputs, long maxEmbedded)
            throws IOException {
        Model model = options.result() instanceof OnnxResult.Own ? whole : body(whole);
        if (!out.toString().endsWith(".onnx")) {
            // an input's name, mistaken for the output's, never ends so
            throw new UsageException("out " + out, "expected a file name that ends with .onnx");
        }
        outputs.requireFile(out);
        OnnxGraph graph = new OnnxGraph(model.config().modelType());
        Map<String, List<String>> optional = options.adapterInputs() ? AdapterInputs.axes(model) : Map.of();
        OnnxWeights weights = new OnnxWeights(graph, model::leaf, options.precision(), optional);
        boolean otherHeads = optional.values().stream().anyMatch(axes -> axes.contains(AdapterInputs.LABELS));
        build(model, graph, weights, otherHeads, options);
        weights.prune();
        boolean linked =
                options.weights() == Weights.LINKED && !options.precision().isQuantized();
        boolean apart = linked ? weights.convertsFiles() : weights.totalBytes() > maxEmbedded;
        Optional<Path> data = Optional.empty();
        if (!apart) {
            write(outputs, out, graph, linked ? weights.linked(out) : weights.embedded());
        } else {
            Path beside = out.resolveSibling(out.getFileName() + "_data");
            String location = String.valueOf(beside.getFileName());
            try (OutputFile pending = outputs.file(beside)) {
                List<TensorProto> initializers;
                try {
                    initializers = linked
                            ? weights.linked(out, pending.path(), location)
                            : weights.moved(pending.path(), location);
                } catch (IOException e) {
                    throw OutputFile.unwritable(beside, e);
                }
                // the data first: no model may stand there before what it points to
                pending.commit();
                write(outputs, out, graph, initializers);
            }
            data = Optional.of(beside);
        }
        return new OnnxExport(
                out, data, graph.opset(), graph.proto().getNodeCount(), optional.size(), weights.totalBytes());
    }

    private static void write(Outputs outputs, Path out, OnnxGraph graph, List<TensorProto> initializers)
            throws IOException {
        ModelProto proto = ModelProto.newBuilder()
                .setIrVersion(irVersion(graph.opset()))
                .setProducerName("adapt")
                .addAllOpsetImport(graph.opsets().entrySet().stream()
                        .map(each -> OperatorSetIdProto.newBuilder()
                                .setDomain(each.getKey())
                                .setVersion(each.getValue())
                                .build())
                        .toList())
                .setGraph(graph.proto().addAllInitializer(initializers))
                .build();
        try (OutputFile pending = outputs.file(out)) {
            try (OutputStream stream = pending.stream()) {
                proto.writeTo(stream);
            }
            pending.commit();
        }
    }

    private static void build(Model model, OnnxGraph graph, OnnxWeights weights, boolean otherHeads, Options options) {
        Architecture architecture = model.architecture();
        OnnxPast keys = options.past() ? OnnxPast.of(model) : OnnxPast.NONE;
        Map<String, OnnxValue> inputs = new HashMap<>();
        for (InputSpec input : keys.inputs(architecture.inputs())) {
            if (options.tokenTypes() || !input.name().equals(TOKEN_TYPES)) {
                TensorProto.DataType type = OnnxTensor.dataType(input.dtype()).orElseThrow();
                inputs.put(input.name(), graph.input(input.name(), type, input.axes()));
            }
        }
        Optional<KeyValueCache<OnnxValue>> cache = keys.declare(graph);
        OnnxOps ops = ops(graph, weights, options);
        Map<String, OnnxValue> results = model.outputs(ops, weights::leaf, inputs, cache);
        if (options.result() instanceof OnnxResult.Vector vector) {
            OnnxValue states = Objects.requireNonNull(results.get(OnnxResult.STATES));
            OnnxValue mask = Objects.requireNonNull(inputs.get(InputSpec.MASK.name()));
            OnnxValue pooled = vector.pooling().pool(ops, states, mask);
            graph.output(
                    vector.normalized() ? unit(ops, pooled) : pooled,
                    OnnxResult.VECTOR,
                    List.of("batch", Integer.toString(architecture.hidden())));
            return;
        }
        architecture.outputs().forEach((name, axes) -> {
            OnnxValue result = Objects.requireNonNull(results.get(name));
            List<String> own = new ArrayList<>(axes);
            if (otherHeads) {
                own.set(own.size() - 1, AdapterInputs.LABELS);
            }
            graph.output(result, name, own);
        });
        cache.ifPresent(own -> keys.give(graph, own));
    }

    private static OnnxValue unit(OnnxOps ops, OnnxValue vectors) {
        OnnxValue length = ops.sqrt(ops.sum(ops.mul(vectors, vectors), 1));
        return ops.div(vectors, ops.clamp(length, SHORTEST, Float.MAX_VALUE));
    }

    private static Model body(Model model) {
        Model body = model.body();
        if (!body.architecture().outputName().equals(OnnxResult.STATES)
                || body.architecture().tokens().isEmpty()) {
            throw new UsageException(
                    "output", model.config().document().path() + " describes no model that gives states of tokens");
        }
        return body;
    }

    private static OnnxOps ops(OnnxGraph graph, OnnxWeights weights, Options options) {
        OnnxLayers layers = switch (options.precision()) {
            case INT8 -> new OnnxLayers.Quantized(graph, weights, 8);
            case INT4 -> new OnnxLayers.Quantized(graph, weights, 4);
            case FP32, FP16 ->
                options.weights() == Weights.OWN
                        ? new OnnxLayers.Transposed(graph, weights)
                        : new OnnxLayers.Plain(graph);
        };
        return new OnnxOps(graph, options.precision(), layers);
    }

    /** The file format's version that came with an operator set. */
    private static int irVersion(int opset) {
        return opset <= 18 ? 8 : opset <= 20 ? 9 : 10;
    }
}
