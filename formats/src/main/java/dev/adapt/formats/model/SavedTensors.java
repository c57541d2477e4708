package dev.adapt.formats.model;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.adapter.Adapter;
import dev.adapt.formats.adapter.BaseChange;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.graph.Architecture;
import dev.adapt.formats.graph.Head;
import dev.adapt.formats.safetensors.TensorView;
import dev.adapt.formats.tensor.Shape;
import dev.adapt.formats.tensor.Tensor;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.SequencedMap;
import java.util.function.UnaryOperator;
import java.util.stream.IntStream;
import java.util.stream.Stream;

/**
 * The tensors that an adapter holds whole, in their places in a base, and what they change in its config.
 *
 * @param tensors by canonical name; those that are the base's own are left out
 * @param names what the adapter calls them, by canonical name
 */
record SavedTensors(Map<String, Tensor> tensors, Map<String, String> names, BaseChange change) {
    static SavedTensors none() {
        return new SavedTensors(Map.of(), Map.of(), BaseChange.of(Optional.empty()));
    }

    /**
     * Places an adapter's tensors.
     *
     * @param byCanonical the base's tensors
     * @throws FormatException if one has no place there, or another shape than its place, or a biases' or module's are
     *     missing
     */
    static SavedTensors of(
            Adapter adapter,
            Checkpoint base,
            SequencedMap<String, TensorView> byCanonical,
            UnaryOperator<String> canonical,
            Optional<Architecture> architecture) {
        Placing placing = new Placing(adapter, base, byCanonical, canonical, architecture);
        placing.requireWhole();
        Map<String, Tensor> tensors = new LinkedHashMap<>();
        Map<String, String> names = new LinkedHashMap<>();
        adapter.saved().forEach((name, tensor) -> {
            String own = canonical.apply(name);
            placing.check(name, own, tensor);
            if (!placing.isOfBase(own, tensor)) {
                tensors.put(own, tensor);
                names.put(own, name);
            }
        });
        BaseChange change = new BaseChange(placing.head(tensors), placing.vocabulary(tensors), placing.unties(tensors));
        if (!change.unties()) {
            placing.tiedHead().ifPresent(tensors::remove);
        }
        return new SavedTensors(tensors, names, change);
    }

    /** The shape of one of the tensors. */
    Optional<Shape> shape(String canonicalName) {
        return Optional.ofNullable(tensors.get(canonicalName)).map(Tensor::shape);
    }

    /** One adapter on one base. */
    private record Placing(
            Adapter adapter,
            Checkpoint base,
            SequencedMap<String, TensorView> byCanonical,
            UnaryOperator<String> canonical,
            Optional<Architecture> architecture) {
        private static final int PIECE = 1 << 14;

        private Optional<String> table() {
            return architecture.flatMap(Architecture::wordTable).map(module -> module + ".weight");
        }

        private Optional<String> tiedHead() {
            return architecture.flatMap(Architecture::tiedHead).map(module -> module + ".weight");
        }

        /** What the config says is saved, and the base has, must be there. */
        void requireWhole() {
            boolean biases = adapter.saved().keySet().stream().anyMatch(name -> name.endsWith(".bias"));
            Optional<String> bias = byCanonical.keySet().stream()
                    .filter(name -> name.endsWith(".bias"))
                    .findFirst();
            if (adapter.config().bias().equals("all") && !biases && bias.isPresent()) {
                throw new FormatException(
                        adapter.file(), bias.get(), "is missing: the config says bias \"all\", and the base has it");
            }
            for (String module : adapter.config().modulesToSave()) {
                boolean held = adapter.saved().keySet().stream().anyMatch(name -> Adapter.isOf(List.of(module), name));
                Optional<String> lacking = byCanonical.keySet().stream()
                        .filter(name -> Adapter.isOf(List.of(module), name))
                        .findFirst();
                if (!held && lacking.isPresent()) {
                    throw new FormatException(
                            adapter.file(),
                            lacking.get(),
                            "is missing: the config names " + module + " in modules_to_save, and the base has it");
                }
            }
        }

        void check(String name, String own, Tensor tensor) {
            TensorView place = byCanonical.get(own);
            boolean named = Adapter.isOf(adapter.config().modulesToSave(), name);
            boolean head = tiedHead().filter(own::equals).isPresent();
            if (place == null && !named && !head) {
                throw new FormatException(
                        adapter.file(),
                        name,
                        "is neither a tensor of " + adapter.config().peftType() + " nor of a module in modules_to_save "
                                + adapter.config().modulesToSave() + " nor of the base " + base.path());
            }
            TensorView model =
                    place == null && head ? table().map(byCanonical::get).orElse(null) : place;
            if (model != null && !fits(own, model.shape(), tensor.shape())) {
                throw new FormatException(
                        adapter.file(), name, "has shape " + tensor.shape() + ", in the base it has " + model.shape());
            }
        }

        /** The same shape; a table of words, and a head, may have another number of rows. */
        private boolean fits(String own, Shape place, Shape shape) {
            boolean words = isWords(own) || isOfHead(own);
            return place.equals(shape)
                    || (words
                            && place.rank() == shape.rank()
                            && place.dims()
                                    .subList(1, place.rank())
                                    .equals(shape.dims().subList(1, shape.rank())));
        }

        private static boolean isOfHead(String own) {
            return own.startsWith(Head.MODULE + ".") || own.startsWith(Head.SCORE + ".");
        }

        /** A classification head for another number of classes than the base's: PEFT does not say what they are called. */
        Optional<Head> head(Map<String, Tensor> saved) {
            if (architecture.isEmpty()) {
                return Optional.empty();
            }
            int before =
                    architecture.get().head().map(own -> own.labels().size()).orElse(0);
            return Stream.of(Head.MODULE + ".out_proj", Head.MODULE, Head.SCORE)
                    .flatMap(module -> Optional.ofNullable(saved.get(module + ".weight")).stream())
                    .findFirst()
                    .map(weight -> (int) weight.shape().dim(0))
                    .filter(classes -> classes != before)
                    .map(classes -> new Head(
                            architecture.get().ownPooling(),
                            IntStream.range(0, classes)
                                    .mapToObj(id -> "LABEL_" + id)
                                    .toList()));
        }

        private boolean isWords(String own) {
            return table().filter(own::equals).isPresent()
                    || own.equals("lm_head.weight")
                    || own.equals("lm_head.bias");
        }

        /** PEFT saves the table of words beside its update, whether it was trained or not. */
        boolean isOfBase(String own, Tensor tensor) {
            TensorView place = byCanonical.get(own);
            return place != null && haveSameElements(place, tensor);
        }

        /** The number of words, if the adapter changes it: all that is as long as the table must then be there. */
        OptionalInt vocabulary(Map<String, Tensor> saved) {
            Tensor words = table().map(saved::get).orElse(null);
            TensorView before = table().map(byCanonical::get).orElse(null);
            for (String head : List.of("lm_head.weight", "lm_head.bias")) {
                Tensor own = saved.get(head);
                long rows = words != null
                        ? words.shape().dim(0)
                        : before == null ? -1 : before.shape().dim(0);
                if (own != null && rows >= 0 && own.shape().dim(0) != rows) {
                    throw new FormatException(
                            adapter.file(),
                            head,
                            "is for " + own.shape().dim(0) + " words, the table of words has " + rows
                                    + ": the adapter must hold both");
                }
            }
            if (words == null
                    || before == null
                    || words.shape().dim(0) == before.shape().dim(0)) {
                return OptionalInt.empty();
            }
            byCanonical.forEach((name, tensor) -> {
                boolean ofHead = name.startsWith("lm_head.") || name.startsWith("cls.predictions.");
                if (ofHead
                        && tensor.shape().rank() > 0
                        && tensor.shape().dim(0) == before.shape().dim(0)
                        && !saved.containsKey(name)
                        && tiedHead().filter(name::equals).isEmpty()) {
                    throw new FormatException(
                            adapter.file(),
                            "has a table of " + words.shape().dim(0) + " words, and the base's " + tensor.name()
                                    + " is for " + before.shape().dim(0) + ": the adapter must hold both");
                }
            });
            return OptionalInt.of(Math.toIntExact(words.shape().dim(0)));
        }

        /** Whether a tied pair differs afterwards. A head that the adapter says follows the table stays tied. */
        boolean unties(Map<String, Tensor> saved) {
            Optional<String> head = tiedHead();
            TensorView before = table().map(byCanonical::get).orElse(null);
            if (head.isEmpty() || before == null) {
                return false;
            }
            Tensor own = saved.get(head.get());
            Tensor words = table().map(saved::get).orElse(null);
            boolean headAdapted = adapts(head.get());
            boolean tableAdapted = adapts(table().orElseThrow());
            if (headAdapted || (tableAdapted && !adapter.config().keepsTies())) {
                return true;
            }
            if (own == null) {
                // more words than the base has are known from the table alone
                return words != null
                        && !adapter.config().keepsTies()
                        && words.shape().equals(before.shape());
            }
            return !haveSameElements(own, words != null ? words : before);
        }

        /** Piece by piece: tables of words are large. */
        private static boolean haveSameElements(Tensor left, Tensor right) {
            boolean same = left.shape().equals(right.shape());
            long elements = left.shape().elements();
            double[] some = new double[(int) Math.min(PIECE, elements)];
            double[] others = new double[some.length];
            for (long from = 0; same && from < elements; from += PIECE) {
                int count = (int) Math.min(PIECE, elements - from);
                left.read(from, some, 0, count);
                right.read(from, others, 0, count);
                same = Arrays.equals(some, 0, count, others, 0, count);
            }
            return same;
        }

        private boolean adapts(String weight) {
            return adapter.modules().stream().anyMatch(module -> (canonical.apply(module) + ".weight").equals(weight));
        }
    }
}
