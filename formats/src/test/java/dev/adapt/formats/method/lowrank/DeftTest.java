package dev.adapt.formats.method.lowrank;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import com.fasterxml.jackson.databind.node.BooleanNode;
import com.fasterxml.jackson.databind.node.IntNode;
import com.fasterxml.jackson.databind.node.TextNode;
import dev.adapt.formats.algebra.LowRank;
import dev.adapt.formats.algebra.ReferenceOps;
import dev.adapt.formats.algebra.WeightChange;
import dev.adapt.formats.method.AdapterMethod;
import dev.adapt.formats.method.Target;
import dev.adapt.formats.tensor.DoubleTensor;
import dev.adapt.formats.tensor.Shape;
import java.nio.file.Path;
import java.util.Map;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;

@DisplayName("DEFT")
class DeftTest {
    private final ReferenceOps ops = new ReferenceOps();

    @Test
    @DisplayName("takes the Q that LAPACK gives, signs included (numpy.linalg.qr), and PaRa only takes away")
    void orthogonal() {
        AdapterMethod method = Deft.TYPE.fresh(
                Path.of("settings"),
                Map.of(
                        "r", IntNode.valueOf(3),
                        "decomposition_method", TextNode.valueOf("qr"),
                        "para", BooleanNode.TRUE));
        DoubleTensor p =
                new DoubleTensor(Shape.of(4, 3), new double[] {0.5, -1, 2, -1.5, 0.25, 0.75, 2, 1, -0.5, 0.125, 3, 1});
        DoubleTensor weight = new DoubleTensor(Shape.of(4, 1), new double[] {1, 0, 0, 0});
        Target target = new Target("m", "m", "m.weight", 4, 1, false);
        WeightChange<DoubleTensor> change = method.change(ops, target, part -> p, () -> weight);
        LowRank<DoubleTensor> product = change.lowRank().orElseThrow();
        double[] q = {
            -0.1958808427497567,
            0.3406251502902404,
            0.9195403494539846,
            0.5876425282492701,
            -0.18184987862269283,
            0.19845376851373908,
            -0.7835233709990267,
            -0.1648186211081809,
            -0.1012782007293355,
            -0.04897021068743917,
            -0.9076012069023826,
            0.32373503601829534
        };
        assertArrayEquals(q, product.left().values(), 1e-14);
        // -Qᵀ·W is the first row of Q, negated
        assertArrayEquals(new double[] {-q[0], -q[1], -q[2]}, product.right().values(), 1e-14);
        assertEquals("PaRa", method.title());
    }
}
