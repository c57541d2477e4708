package dev.adapt.formats.adapter;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Every adapter method, with the options that change what it computes: what holds for one must hold for all. */
public final class Methods {
    private Methods() {}

    /** The methods at a rank, with dropout so that storing it is seen. */
    public static List<AdapterMethod> of(int rank) {
        Map<String, Double> ranks = new LinkedHashMap<>();
        ranks.put("value", rank + 2.0);
        ranks.put("layer.0.*query", rank + 1.0);
        return List.of(
                new Lora(rank, 3, 0.125),
                new Lora(rank, 5, true, false, 0.125, Map.of(), Map.of()),
                new Lora(rank, 8, false, false, 0, ranks, Map.of("query", 2.5)),
                new Lora(rank, 5, true, true, 0.125, ranks, Map.of()),
                new Vera(rank, 0.1, 7, 0.125, false, Projection.Rounding.FMA),
                new Vera(rank, 0.25, (1L << 32) + 7, 0, true, Projection.Rounding.FMA),
                new Vera(rank, 0.1, 49, 0, false, Projection.Rounding.UNFUSED),
                new CondLora(rank, 3, 0.125),
                new Lors(List.of(rank, rank + 1), List.of(2, 1)));
    }
}
