package dev.adapt.formats.onnx.imports;

import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.formats.FormatException;
import dev.adapt.formats.onnx.OnnxNodes;
import dev.adapt.formats.onnx.OnnxTensor;
import dev.adapt.formats.onnx.proto.AttributeProto;
import dev.adapt.formats.onnx.proto.NodeProto;
import dev.adapt.formats.safetensors.Dtype;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.Set;
import java.util.TreeSet;
import java.util.function.Predicate;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;

/** Reads from a BERT's exported graph what its config.json said. */
final class OnnxBert {
    private static final Pattern LAYER = Pattern.compile("encoder\\.layer\\.(\\d{1,6})\\..*");

    /** The rank of the states that attention splits into heads. */
    private static final int RANK = 4;

    private final Path path;
    private final OnnxNodes nodes;
    private final Map<String, OnnxParameters.Found> parameters;

    /** @param parameters by canonical name */
    OnnxBert(Path path, OnnxNodes nodes, Map<String, OnnxParameters.Found> parameters) {
        this.path = path;
        this.nodes = nodes;
        this.parameters = parameters;
    }

    /**
     * The config.
     *
     * @throws FormatException if the graph is no BERT's, or does not tell something the config must say
     */
    ObjectNode config() {
        requireNames();
        ObjectNode config = new JsonMapper().createObjectNode();
        long hidden = matrix("embeddings.word_embeddings.weight").shape().dim(1);
        config.putArray("architectures").add(architecture(config));
        config.put("model_type", "bert");
        config.put("hidden_size", hidden);
        config.put("num_hidden_layers", layers());
        config.put("num_attention_heads", heads(hidden));
        config.put(
                "intermediate_size",
                matrix("encoder.layer.0.intermediate.dense.weight").shape().dim(0));
        config.put("hidden_act", activation());
        config.put("layer_norm_eps", epsilon());
        config.put(
                "vocab_size",
                matrix("embeddings.word_embeddings.weight").shape().dim(0));
        config.put(
                "max_position_embeddings",
                matrix("embeddings.position_embeddings.weight").shape().dim(0));
        config.put(
                "type_vocab_size",
                matrix("embeddings.token_type_embeddings.weight").shape().dim(0));
        config.put("position_embedding_type", "absolute");
        config.put("hidden_dropout_prob", 0.1);
        config.put("attention_probs_dropout_prob", 0.1);
        config.put("pad_token_id", 0);
        config.put(
                "torch_dtype",
                torchType(matrix("embeddings.word_embeddings.weight").tensor().dtype()));
        return config;
    }

    /**
     * Refuses graphs whose tensors it would be of no use to name.
     *
     * @throws FormatException if an operator says that the model is no plain BERT
     */
    static void requirePlain(Path path, OnnxNodes nodes) {
        Set<String> foreign = nodes.nodes()
                .filter(node -> !node.getDomain().isEmpty() && !node.getDomain().equals("ai.onnx"))
                .map(node -> node.getDomain() + "." + node.getOpType())
                .collect(Collectors.toCollection(TreeSet::new));
        if (!foreign.isEmpty()) {
            throw new FormatException(
                    path,
                    "uses operators outside the ONNX standard, " + String.join(", ", foreign)
                            + ": give a model exported without fusing or quantising it");
        }
        // RoBERTa has BERT's names, but counts positions over the tokens that are not padding; our own exports count
        // from 0
        if (nodes.nodes("CumSum")
                .anyMatch(node -> node.getAttributeList().stream()
                        .noneMatch(attribute -> attribute.getName().equals("exclusive") && attribute.getI() == 1))) {
            throw new FormatException(
                    path, "is not a BERT: it counts positions with CumSum, as RoBERTa does; only BERT can be imported");
        }
    }

    private void requireNames() {
        for (String name :
                List.of("embeddings.token_type_embeddings.weight", "encoder.layer.0.attention.self.query.weight")) {
            if (!parameters.containsKey(name)) {
                throw new FormatException(
                        path, "is not a BERT: it has no " + name + "; other kinds of models cannot be imported yet");
            }
        }
    }

    private String architecture(ObjectNode config) {
        if (!parameters.containsKey("classifier.weight")) {
            return "BertModel";
        }
        OnnxParameters.Found head = matrix("classifier.weight");
        matrix("pooler.dense.weight");
        ObjectNode labels = config.putObject("id2label");
        for (long id = 0; id < head.shape().dim(0); id++) {
            labels.put(Long.toString(id), "LABEL_" + id);
        }
        return "BertForSequenceClassification";
    }

    private OnnxParameters.Found matrix(String name) {
        OnnxParameters.Found found = parameters.get(name);
        if (found == null || found.shape().rank() != 2 || found.shape().elements() == 0) {
            throw new FormatException(path, "is not a BERT: it has no matrix " + name);
        }
        return found;
    }

    private int layers() {
        int layers = 1
                + parameters.keySet().stream()
                        .map(LAYER::matcher)
                        .filter(Matcher::matches)
                        .mapToInt(matcher -> Integer.parseInt(matcher.group(1)))
                        .max()
                        .orElseThrow();
        // each layer has a tensor at least: a number in a name is not believed
        if (layers > parameters.size()) {
            throw new FormatException(
                    path, "is not a BERT: it has a layer " + (layers - 1) + ", but not all before it");
        }
        return layers;
    }

    /** The attention splits its states by a Reshape to [batch, sequence, heads, hidden / heads] and a Transpose. */
    private long heads(long hidden) {
        Set<Long> heads = nodes.nodes("Reshape")
                .filter(node -> nodes.readers(OnnxNodes.output(node)).stream()
                        .anyMatch(reader -> reader.getOpType().equals("Transpose")))
                .map(node -> shape(OnnxNodes.input(node, 1), 0))
                .filter(dims -> dims.size() == 4)
                .flatMap(dims -> heads(dims.get(2).orElse(0L), dims.get(3).orElse(0L), hidden).stream()
                        .boxed())
                .collect(Collectors.toSet());
        return only("num_attention_heads", "reshapes to [batch, sequence, heads, width]", heads);
    }

    /** Heads and width where their product is hidden; -1 stands for what is left, 0 for what is not known. */
    private static OptionalLong heads(long heads, long width, long hidden) {
        long count = heads == -1 && width > 0 ? hidden / width : heads;
        boolean fits = count > 0 && (width == -1 ? hidden % count == 0 : count * width == hidden);
        return fits ? OptionalLong.of(count) : OptionalLong.empty();
    }

    /** What is known of a shape that a Reshape is given: a constant, or numbers and computed sizes joined. */
    private List<Optional<Long>> shape(String value, int depth) {
        List<Optional<Long>> dims = new ArrayList<>();
        Optional<OnnxTensor> constant = nodes.constant(value).filter(tensor -> tensor.dtype() == Dtype.I64);
        Optional<NodeProto> concat =
                nodes.maker(value).filter(node -> node.getOpType().equals("Concat"));
        if (constant.filter(tensor -> tensor.shape().elements() > RANK).isPresent() || depth > 1) {
            dims.add(Optional.empty());
        } else if (constant.isPresent()) {
            for (long dim : constant.get().longs()) {
                dims.add(Optional.of(dim));
            }
        } else if (concat.isPresent()) {
            // no shape that matters has more parts
            concat.get().getInputList().stream().limit(RANK).forEach(part -> dims.addAll(shape(part, depth + 1)));
        } else {
            dims.add(Optional.empty());
        }
        return dims;
    }

    /** Epsilon is an attribute, or what is added under the square root. */
    private double epsilon() {
        Set<Float> values = new TreeSet<>();
        nodes.nodes("LayerNormalization")
                .map(node -> OnnxNodes.attribute(node, "epsilon")
                        .map(AttributeProto::getF)
                        .orElse(1e-5f))
                .forEach(values::add);
        nodes.nodes("Sqrt")
                .flatMap(node -> nodes.maker(OnnxNodes.input(node, 0)).stream())
                .filter(node -> node.getOpType().equals("Add"))
                .flatMap(nodes::constantInputs)
                .flatMap(constant -> constant.scalar().stream())
                .forEach(values::add);
        float epsilon = only("layer_norm_eps", "layer normalisations", values);
        if (!(epsilon >= 0 && epsilon < 1)) {
            throw new FormatException(path, "has layer normalisations with epsilon " + epsilon + ", expected 0 to 1");
        }
        // by way of decimal digits: 1e-12f is 1e-12 to its author, not 9.999999960041972e-13
        return Double.parseDouble(Float.toString(epsilon));
    }

    private String activation() {
        Map<String, Long> count =
                nodes.nodes().collect(Collectors.groupingBy(NodeProto::getOpType, Collectors.counting()));
        count.computeIfPresent("Tanh", (tanh, all) -> all - (parameters.containsKey("pooler.dense.weight") ? 1 : 0));
        Predicate<String> each = operator -> count.getOrDefault(operator, 0L) >= layers();
        Set<String> names = new TreeSet<>();
        nodes.nodes("Gelu")
                .map(node -> OnnxNodes.attribute(node, "approximate")
                        .map(attribute -> attribute.getS().toString(StandardCharsets.UTF_8))
                        .orElse("none"))
                .forEach(approximate -> names.add(approximate.equals("tanh") ? "gelu_new" : "gelu"));
        if (each.test("Erf")) {
            names.add("gelu");
        }
        if (each.test("Tanh")) {
            names.add("gelu_new");
        }
        if (each.test("Relu")) {
            names.add("relu");
        }
        if (each.test("Sigmoid")) {
            names.add("silu");
        }
        return only("hidden_act", "activations (Erf, Gelu, Tanh, Relu or Sigmoid in each layer)", names);
    }

    private <V> V only(String field, String where, Set<V> values) {
        if (values.size() != 1) {
            throw new FormatException(
                    path,
                    field,
                    "cannot be told from the graph: among its " + where + " found "
                            + (values.isEmpty() ? "none" : values));
        }
        return values.iterator().next();
    }

    private static String torchType(Dtype dtype) {
        return switch (dtype) {
            case F64 -> "float64";
            case F16 -> "float16";
            case BF16 -> "bfloat16";
            default -> "float32";
        };
    }
}
