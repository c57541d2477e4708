package dev.adapt.tests;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import dev.adapt.formats.safetensors.SafetensorsFile;
import dev.adapt.formats.safetensors.TensorView;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.TreeMap;
import java.util.stream.IntStream;

/**
 * PEFT's combinations of LoRA adapters, computed in float64 straight from their definitions on full matrices, and from the
 * files alone: nothing of adapt's own algebra is used.
 */
final class PeftDefinitions {
    /** A matrix as rows. */
    @SuppressWarnings("ArrayRecordComponent")
    record Matrix(double[][] rows) {
        static Matrix of(int rows, int columns) {
            return new Matrix(new double[rows][columns]);
        }

        int height() {
            return rows.length;
        }

        int width() {
            return rows[0].length;
        }

        Matrix times(Matrix other) {
            Matrix product = of(height(), other.width());
            for (int i = 0; i < height(); i++) {
                for (int j = 0; j < other.width(); j++) {
                    for (int k = 0; k < width(); k++) {
                        product.rows[i][j] += rows[i][k] * other.rows[k][j];
                    }
                }
            }
            return product;
        }

        Matrix times(double factor) {
            Matrix scaled = of(height(), width());
            for (int i = 0; i < height(); i++) {
                for (int j = 0; j < width(); j++) {
                    scaled.rows[i][j] = rows[i][j] * factor;
                }
            }
            return scaled;
        }

        Matrix transposed() {
            Matrix transposed = of(width(), height());
            for (int i = 0; i < height(); i++) {
                for (int j = 0; j < width(); j++) {
                    transposed.rows[j][i] = rows[i][j];
                }
            }
            return transposed;
        }

        /** The nearest matrix of a rank, by one-sided Jacobi rotations (Hestenes, 1958). */
        Matrix cut(int rank) {
            if (height() < width()) {
                return transposed().cut(rank).transposed();
            }
            // columns of U·S, and the rotations V that made them: M = (U·S)·Vᵀ
            double[][] us = transposed().rows;
            double[][] v = of(width(), width()).rows;
            for (int i = 0; i < v.length; i++) {
                v[i][i] = 1;
            }
            boolean turned = true;
            for (int sweep = 0; turned && sweep < 60; sweep++) {
                turned = false;
                for (int p = 0; p < us.length; p++) {
                    for (int q = p + 1; q < us.length; q++) {
                        turned |= rotate(us, v, p, q);
                    }
                }
            }
            List<Integer> largest = IntStream.range(0, us.length)
                    .boxed()
                    .sorted(Comparator.comparingDouble(i -> -dot(us[i], us[i])))
                    .limit(rank)
                    .toList();
            Matrix near = of(height(), width());
            for (int k : largest) {
                for (int i = 0; i < height(); i++) {
                    for (int j = 0; j < width(); j++) {
                        near.rows[i][j] += us[k][i] * v[k][j];
                    }
                }
            }
            return near;
        }

        private static boolean rotate(double[][] us, double[][] v, int p, int q) {
            double a = dot(us[p], us[p]);
            double b = dot(us[q], us[q]);
            double c = dot(us[p], us[q]);
            if (Math.abs(c) <= 1e-15 * Math.sqrt(a * b) || c == 0) {
                return false;
            }
            double zeta = (b - a) / (2 * c);
            double t = Math.copySign(1, zeta) / (Math.abs(zeta) + Math.sqrt(1 + zeta * zeta));
            double cos = 1 / Math.sqrt(1 + t * t);
            for (double[][] set : List.of(us, v)) {
                for (int i = 0; i < set[p].length; i++) {
                    double x = set[p][i];
                    double y = set[q][i];
                    set[p][i] = cos * (x - t * y);
                    set[q][i] = cos * (t * x + y);
                }
            }
            return true;
        }

        private static double dot(double[] x, double[] y) {
            double sum = 0;
            for (int i = 0; i < x.length; i++) {
                sum += x[i] * y[i];
            }
            return sum;
        }
    }

    /** One adapter's A, B and scale for one module, and which adapter it is. */
    record Lora(int adapter, Matrix a, Matrix b, double scale) {}

    private PeftDefinitions() {}

    /** The LoRA layers of an adapter folder by module. */
    static Map<String, Lora> read(Path folder, int adapter) throws IOException {
        JsonNode config =
                new JsonMapper().readTree(folder.resolve("adapter_config.json").toFile());
        Map<String, Lora> layers = new TreeMap<>();
        try (SafetensorsFile file = SafetensorsFile.open(folder.resolve("adapter_model.safetensors"))) {
            for (TensorView tensor : file.tensors()) {
                if (tensor.name().endsWith(".lora_A.weight")) {
                    String key = tensor.name().replace(".lora_A.weight", "");
                    String module = key.replaceFirst("^base_model\\.model\\.", "");
                    Matrix a = matrix(tensor);
                    double alpha = config.path("lora_alpha").doubleValue();
                    for (var pattern : config.path("alpha_pattern").properties()) {
                        if (module.matches("(.*\\.)?(" + pattern.getKey() + ")")) {
                            alpha = pattern.getValue().doubleValue();
                            break;
                        }
                    }
                    double divisor = config.path("use_rslora").asBoolean() ? Math.sqrt(a.height()) : a.height();
                    layers.put(
                            module, new Lora(adapter, a, matrix(file.tensor(key + ".lora_B.weight")), alpha / divisor));
                }
            }
        }
        return layers;
    }

    private static Matrix matrix(TensorView tensor) {
        Matrix matrix =
                Matrix.of((int) tensor.shape().dim(0), (int) tensor.shape().dim(1));
        float[] values = tensor.toFloats();
        for (int i = 0; i < values.length; i++) {
            matrix.rows[i / matrix.width()][i % matrix.width()] = values[i];
        }
        return matrix;
    }

    /** ΔW of the combination of a module's layers. */
    static Matrix combined(
            String type,
            String module,
            List<Lora> loras,
            double[] weights,
            double density,
            String sign,
            long seed,
            int rank) {
        double[] own =
                loras.stream().mapToDouble(lora -> weights[lora.adapter()]).toArray();
        if (type.equals("cat") || type.equals("svd")) {
            Matrix sum = Matrix.of(
                    loras.getFirst().b().height(), loras.getFirst().a().width());
            for (int t = 0; t < own.length; t++) {
                Matrix delta = loras.get(t)
                        .b()
                        .times(loras.get(t).a())
                        .times(loras.get(t).scale() * own[t]);
                sum = added(sum, delta);
            }
            return type.equals("cat") ? sum : sum.cut(rank);
        }
        if (type.endsWith("_svd")) {
            List<Matrix> deltas = loras.stream()
                    .map(lora -> lora.b().times(lora.a()).times(lora.scale()))
                    .toList();
            return merged(type.replace("_svd", ""), module, "W", loras, deltas, own, density, sign, seed)
                    .cut(rank);
        }
        double[] rootA = new double[own.length];
        double[] rootB = new double[own.length];
        for (int t = 0; t < own.length; t++) {
            double product = own[t] * loras.get(t).scale();
            rootB[t] = Math.sqrt(Math.abs(product));
            rootA[t] = product < 0 ? -rootB[t] : rootB[t];
        }
        List<Matrix> as = loras.stream().map(Lora::a).toList();
        List<Matrix> bs = loras.stream().map(Lora::b).toList();
        return merged(type, module, "B", loras, bs, rootB, density, sign, seed)
                .times(merged(type, module, "A", loras, as, rootA, density, sign, seed));
    }

    private static Matrix added(Matrix left, Matrix right) {
        Matrix sum = Matrix.of(left.height(), left.width());
        for (int i = 0; i < left.height(); i++) {
            for (int j = 0; j < left.width(); j++) {
                sum.rows[i][j] = left.rows[i][j] + right.rows[i][j];
            }
        }
        return sum;
    }

    private static Matrix merged(
            String type,
            String module,
            String part,
            List<Lora> loras,
            List<Matrix> tensors,
            double[] weights,
            double density,
            String sign,
            long seed) {
        List<Matrix> pruned = new ArrayList<>();
        for (int t = 0; t < weights.length; t++) {
            pruned.add(
                    switch (type) {
                        case "linear" -> tensors.get(t);
                        case "ties", "magnitude_prune" -> topK(tensors.get(t), density);
                        default ->
                            dropped(tensors.get(t), density, seed, loras.get(t).adapter(), module, part);
                    });
        }
        Matrix sum = Matrix.of(tensors.getFirst().height(), tensors.getFirst().width());
        for (int i = 0; i < sum.height(); i++) {
            for (int j = 0; j < sum.width(); j++) {
                sum.rows[i][j] = element(type.endsWith("ties"), pruned, weights, sign, i, j);
            }
        }
        return sum;
    }

    private static double element(boolean elects, List<Matrix> tensors, double[] weights, String sign, int i, int j) {
        double votes = 0;
        for (Matrix tensor : tensors) {
            votes += sign.equals("total") ? tensor.rows[i][j] : Math.signum(tensor.rows[i][j]);
        }
        int majority = votes >= 0 ? 1 : -1;
        double sum = 0;
        int count = 0;
        for (int t = 0; t < weights.length; t++) {
            double value = tensors.get(t).rows[i][j];
            if (!elects || Math.signum(value) == majority) {
                sum += weights[t] * value;
                count++;
            }
        }
        return elects ? sum / Math.max(count, 1) : sum;
    }

    private static Matrix topK(Matrix tensor, double density) {
        int width = tensor.width();
        int count = tensor.height() * width;
        Matrix kept = Matrix.of(tensor.height(), width);
        IntStream.range(0, count)
                .boxed()
                .sorted(Comparator.comparingDouble(i -> -Math.abs(tensor.rows[i / width][i % width])))
                .limit((long) (density * count))
                .forEach(i -> kept.rows[i / width][i % width] = tensor.rows[i / width][i % width]);
        return kept;
    }

    /** The JDK's own SplitMix64, from where adapt documents that its stream begins. */
    private static Matrix dropped(Matrix tensor, double density, long seed, int adapter, String module, String part) {
        byte[] name = (seed + "/" + adapter + "/" + module + "/" + part).getBytes(StandardCharsets.UTF_8);
        SplittableRandom random;
        try {
            random = new SplittableRandom(
                    ByteBuffer.wrap(MessageDigest.getInstance("SHA-256").digest(name))
                            .getLong());
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException(e);
        }
        Matrix kept = Matrix.of(tensor.height(), tensor.width());
        for (int i = 0; i < tensor.height(); i++) {
            for (int j = 0; j < tensor.width(); j++) {
                kept.rows[i][j] = random.nextDouble() < density ? tensor.rows[i][j] / density : 0;
            }
        }
        return kept;
    }
}
