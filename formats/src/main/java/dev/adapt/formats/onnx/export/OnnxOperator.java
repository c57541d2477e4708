package dev.adapt.formats.onnx.export;

import dev.adapt.formats.onnx.proto.AttributeProto;
import dev.adapt.formats.onnx.proto.AttributeProto.AttributeType;
import java.util.List;
import java.util.Map;

/**
 * The operators that exported graphs use, as the ONNX standard and ONNX Runtime define them.
 *
 * @see <a href="https://onnx.ai/onnx/operators/">the operators of the standard</a>
 */
enum OnnxOperator {
    ADD("Add", 14, 2, 2),
    CAST("Cast", 13, 1, 1, Map.of("to", AttributeType.INT)),
    CLIP("Clip", 13, 1, 3),
    CONCAT("Concat", 13, 1, Integer.MAX_VALUE, Map.of("axis", AttributeType.INT)),
    CONSTANT_OF_SHAPE("ConstantOfShape", 9, 1, 1),
    COS("Cos", 7, 1, 1),
    CUM_SUM("CumSum", 14, 2, 2, Map.of("exclusive", AttributeType.INT)),
    DIV("Div", 14, 2, 2),
    /** Gives integers, their scale and their zero point. */
    DYNAMIC_QUANTIZE_LINEAR("DynamicQuantizeLinear", 11, 1, 1),
    EQUAL("Equal", 13, 2, 2),
    ERF("Erf", 13, 1, 1),
    EXP("Exp", 13, 1, 1),
    EXPAND("Expand", 13, 2, 2),
    GATHER("Gather", 13, 2, 2, Map.of("axis", AttributeType.INT)),
    GATHER_ELEMENTS("GatherElements", 13, 2, 2, Map.of("axis", AttributeType.INT)),
    IDENTITY("Identity", 16, 1, 1),
    LAYER_NORMALIZATION(
            "LayerNormalization", 17, 2, 3, Map.of("axis", AttributeType.INT, "epsilon", AttributeType.FLOAT)),
    LESS_OR_EQUAL("LessOrEqual", 16, 2, 2),
    LOG("Log", 13, 1, 1),
    MATMUL("MatMul", 13, 2, 2),
    MATMUL_INTEGER("MatMulInteger", 10, 2, 4),
    /** ONNX Runtime's own: a product with a matrix in blocks of few bits. */
    MATMUL_N_BITS(
            "MatMulNBits",
            1,
            3,
            6,
            Map.of(
                    "K", AttributeType.INT,
                    "N", AttributeType.INT,
                    "bits", AttributeType.INT,
                    "block_size", AttributeType.INT,
                    "accuracy_level", AttributeType.INT)),
    MUL("Mul", 14, 2, 2),
    POW("Pow", 15, 2, 2),
    REDUCE_MAX("ReduceMax", 13, 1, 1, Map.of("keepdims", AttributeType.INT)),
    /** The same along some axes, which are an input only since this operator set. */
    REDUCE_MAX_ALONG("ReduceMax", 18, 2, 2, Map.of("keepdims", AttributeType.INT)),
    REDUCE_MEAN("ReduceMean", 18, 1, 2, Map.of("keepdims", AttributeType.INT)),
    REDUCE_SUM("ReduceSum", 13, 1, 2, Map.of("keepdims", AttributeType.INT)),
    RELU("Relu", 14, 1, 1),
    RESHAPE("Reshape", 14, 2, 2),
    SCATTER_ND("ScatterND", 16, 3, 3, Map.of("reduction", AttributeType.STRING)),
    SHAPE("Shape", 15, 1, 1, Map.of("start", AttributeType.INT, "end", AttributeType.INT)),
    SIGMOID("Sigmoid", 13, 1, 1),
    SIN("Sin", 7, 1, 1),
    SLICE("Slice", 13, 3, 5),
    SOFTMAX("Softmax", 13, 1, 1, Map.of("axis", AttributeType.INT)),
    SQRT("Sqrt", 13, 1, 1),
    TANH("Tanh", 13, 1, 1),
    /** Gives values and their indices; of its two outputs graphs here read the second. */
    TOP_K("TopK", 11, 2, 2, Map.of("axis", AttributeType.INT)),
    TRANSPOSE("Transpose", 13, 1, 1, Map.of("perm", AttributeType.INTS)),
    UNSQUEEZE("Unsqueeze", 13, 2, 2);

    private final String standardName;
    private final int since;
    private final int minInputs;
    private final int maxInputs;

    @SuppressWarnings("ImmutableEnumChecker") // Map.of makes immutable maps
    private final Map<String, AttributeType> attributes;

    OnnxOperator(String standardName, int since, int minInputs, int maxInputs) {
        this(standardName, since, minInputs, maxInputs, Map.of());
    }

    OnnxOperator(String standardName, int since, int minInputs, int maxInputs, Map<String, AttributeType> attributes) {
        this.standardName = standardName;
        this.since = since;
        this.minInputs = minInputs;
        this.maxInputs = maxInputs;
        this.attributes = attributes;
    }

    /** Its name in the standard. */
    String standardName() {
        return standardName;
    }

    /** The set of operators it belongs to; the standard's has no name. */
    String domain() {
        return this == MATMUL_N_BITS ? "com.microsoft" : "";
    }

    /** The first version of its domain that has it in the form used here. */
    int since() {
        return since;
    }

    /**
     * Checks a use of it.
     *
     * @throws IllegalArgumentException if the number of inputs, or an attribute's name or type, is not as defined
     */
    void check(int inputs, List<AttributeProto> given) {
        if (inputs < minInputs || inputs > maxInputs) {
            throw new IllegalArgumentException(
                    standardName + " takes " + minInputs + " to " + maxInputs + " inputs, given " + inputs);
        }
        for (AttributeProto attribute : given) {
            if (attribute.getType() != attributes.get(attribute.getName())) {
                throw new IllegalArgumentException(
                        standardName + " has no " + attribute.getType() + " attribute " + attribute.getName());
            }
        }
    }
}
