package dev.adapt.train.tokenizer;

import java.util.ArrayDeque;
import java.util.Arrays;
import java.util.Deque;
import java.util.Iterator;
import java.util.List;
import java.util.function.IntFunction;

/**
 * The strongly connected components of a graph (Tarjan's algorithm, with a stack of its own: a pattern of a thousand
 * characters is a path as long). A component is numbered after all that it leads to.
 */
final class Components {
    private record Visit(int node, Iterator<Integer> rest) {}

    private final IntFunction<List<Integer>> successors;
    private final int[] component;
    private final int[] order;
    private final int[] low;
    private final Deque<Integer> open = new ArrayDeque<>();
    private int visited;
    private int found;

    Components(int nodes, IntFunction<List<Integer>> successors) {
        this.successors = successors;
        this.component = new int[nodes];
        this.order = new int[nodes];
        this.low = new int[nodes];
        Arrays.fill(component, -1);
        Arrays.fill(order, -1);
        for (int node = 0; node < nodes; node++) {
            if (order[node] < 0) {
                visit(node);
            }
        }
    }

    /** The component of each node. */
    int[] of() {
        return component.clone();
    }

    private void visit(int start) {
        Deque<Visit> path = new ArrayDeque<>();
        path.push(begin(start));
        while (!path.isEmpty()) {
            Visit visit = path.element();
            int node = visit.node();
            if (visit.rest().hasNext()) {
                int next = visit.rest().next();
                if (order[next] < 0) {
                    path.push(begin(next));
                } else if (component[next] < 0) {
                    low[node] = Math.min(low[node], order[next]);
                }
                continue;
            }
            path.pop();
            if (!path.isEmpty()) {
                int before = path.element().node();
                low[before] = Math.min(low[before], low[node]);
            }
            if (low[node] == order[node]) {
                close(node);
            }
        }
    }

    private Visit begin(int node) {
        order[node] = visited;
        low[node] = visited++;
        open.push(node);
        return new Visit(node, successors.apply(node).iterator());
    }

    private void close(int root) {
        int member;
        do {
            member = open.pop();
            component[member] = found;
        } while (member != root);
        found++;
    }
}
