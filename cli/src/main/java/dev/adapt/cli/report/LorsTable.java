package dev.adapt.cli.report;

import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.formats.architecture.query.QueryDecoder;
import dev.adapt.formats.graph.ModelConfig;
import dev.adapt.formats.io.JsonDocument;
import dev.adapt.formats.tensor.Shape;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;

/** LORS (Li et al., CVPR 2024), table 1, from the tensors of a decoder of AdaMixer's sizes. */
public final class LorsTable {
    private static final int STAGES = 6;

    private static final String TWICE =
            "32,768·256/6 + 32·(32,768 + 256) is 2,454,869, or 2.45M: the paper's 2.46M is 2.455M, rounded again";

    private LorsTable() {}

    public static PaperTable table() {
        PaperTable table = new PaperTable(
                "LORS, table 1: parameters of a stage of AdaMixer's decoder (what its 6 stages share counted in equal"
                        + " parts): its projection, static, and the generator of a group of features, adaptive",
                "",
                "static",
                "paper",
                "adaptive",
                "paper");
        row(table, "not shared", 0, "8.39M", "2.10M");
        row(table, "LORS, rank 4", 4, "1.53M", "0.36M");
        row(table, "LORS, rank 8", 8, "1.66M", "0.39M");
        row(table, "LORS, rank 16", 16, "1.93M", "0.49M");
        row(table, "LORS, rank 32", 32, "2.46M", "0.89M");
        return table;
    }

    private static void row(PaperTable table, String label, int rank, String projection, String generator) {
        QueryDecoder decoder = adaMixer(label, rank);
        long statically = elements(decoder.projectionTensors()) / STAGES;
        long adaptively = elements(decoder.generatorTensors())
                / ((long) STAGES * decoder.mixing().groups());
        table.row(
                List.of(label),
                List.of(
                        new PaperTable.Cell(statically, projection, TWICE),
                        new PaperTable.Cell(adaptively, generator, "")));
    }

    /** The decoder of AdaMixer (arXiv 2203.16507): 4 groups of 64 channels, 32 points mixed to 128. */
    private static QueryDecoder adaMixer(String label, int rank) {
        ObjectNode config = new JsonMapper().createObjectNode();
        config.put("model_type", QueryDecoder.TYPE);
        config.put("num_stages", STAGES);
        config.put("hidden_size", 256);
        config.put("num_groups", 4);
        config.put("num_channels", 64);
        config.put("in_points", 32);
        config.put("out_points", 128);
        if (rank > 0) {
            ObjectNode lors = config.putObject("lors");
            for (int i = 0; i < STAGES; i++) {
                lors.withArray("ranks").add(rank);
                lors.withArray("groups").add(1);
                lors.withArray("projection_ranks").add(rank);
            }
        }
        return QueryDecoder.of(new ModelConfig(new JsonDocument(Path.of(label), config)));
    }

    private static long elements(Map<String, Shape> tensors) {
        return tensors.values().stream().mapToLong(Shape::elements).sum();
    }
}
